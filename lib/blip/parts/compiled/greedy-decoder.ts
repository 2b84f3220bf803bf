import { NeuronBlipError, throwIfAborted } from "../../../errors.js";
import { notNumbers } from "../../../generation/distribution.js";
import type { BegunSequence } from "../../../generation/search.js";
import { batchesOf } from "../../../torch/batch.js";
import type { CompiledPart } from "../../../torch/compiled-part.js";
import { Tensor } from "../../../torch/tensor.js";
import type { TorchOutput } from "../../../torch/torch-module.js";
import type { BlipConfig } from "../../blip-config.js";
import type { EncoderRow } from "../../encoder-row.js";
import { StackedRows } from "./next-token-logits.js";

/**
 * The compiled decoder that gives the first tokens of greedy answers in one call, `text_decoder_greedy.pt`: for devices where
 * each call costs. The search goes on from them with single steps.
 */
export class GreedyDecoder {
  readonly #module: CompiledPart;
  readonly #config: Pick<BlipConfig, "bosTokenId" | "padTokenId" | "sepTokenId" | "vocabSize">;

  constructor(
    module: CompiledPart,
    config: Pick<BlipConfig, "bosTokenId" | "padTokenId" | "sepTokenId" | "vocabSize">,
  ) {
    this.#module = module;
    this.#config = config;
  }

  /**
   * Begins each row's answer: a call for each compiled batch of rows.
   * @param signal checked before each call.
   * @returns for each row its first tokens after the start token, [SEP] included where it comes, with their log-probabilities.
   * @throws NeuronBlipError `EXECUTION_FAILED`, also where the decoder's logits are no numbers; `ARTIFACT_MISMATCH`, `DISPOSED`,
   * `ABORTED`.
   */
  async begin(rows: readonly EncoderRow[], signal?: AbortSignal): Promise<BegunSequence[]> {
    const stacked = new StackedRows(rows);
    const begun: BegunSequence[] = [];
    const indices = rows.map((_, i) => i);
    for (const { rows: slice, size } of batchesOf(indices, this.#module.batchSizes)) {
      throwIfAborted(signal);
      const { hiddenStates, attentionMask } = stacked.of(slice, size);
      const start = Tensor.zeros("int64", [size, 1]);
      start.data.fill(BigInt(this.#config.bosTokenId));
      const { tokens, logProbabilities } = this.#check(
        await this.#module.forward([start, hiddenStates, attentionMask]),
        size,
      );
      const [, length = 0] = tokens.shape;
      for (let row = 0; row < slice.length; row++) {
        const ids = Array.from(tokens.data.subarray(row * length, (row + 1) * length), Number);
        const end = ids.indexOf(this.#config.sepTokenId);
        const count = end === -1 ? length : end + 1;
        const sequence = {
          tokenIds: ids.slice(0, count),
          tokenLogProbabilities: [...logProbabilities.data.subarray(row * length, row * length + count)],
        };
        if (!sequence.tokenLogProbabilities.every(Number.isFinite)) throw notNumbers();
        begun.push(sequence);
      }
    }
    return begun;
  }

  #check(output: TorchOutput, batchSize: number): { tokens: Tensor<"int64">; logProbabilities: Tensor<"float32"> } {
    const isDict =
      typeof output === "object" && output !== null && !Array.isArray(output) && !(output instanceof Tensor);
    const { tokens, log_probabilities: logProbabilities } = isDict ? output : {};
    const isTensor = (value: TorchOutput | undefined, dtype: string): value is Tensor =>
      value instanceof Tensor && value.dtype === dtype && value.shape.length === 2 && value.shape[0] === batchSize;
    if (isTensor(tokens, "int64") && isTensor(logProbabilities, "float32") && tokens.size === logProbabilities.size) {
      const ids = tokens as Tensor<"int64">;
      if (ids.data.every((id) => id >= 0n && id < this.#config.vocabSize)) {
        return { tokens: ids, logProbabilities: logProbabilities as Tensor<"float32"> };
      }
    }
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${this.#module.path}" did not return tokens of this config.json's vocabulary with their log-probabilities, a row for each ` +
        `of ${batchSize} questions: it does not belong to this model. Compile the model again.`,
    );
  }
}
