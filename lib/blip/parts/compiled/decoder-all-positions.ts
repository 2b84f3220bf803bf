import { NeuronBlipError, throwIfAborted } from "../../../errors.js";
import type { LogitsOfSequences } from "../../../generation/ranking.js";
import type { CompiledPart } from "../../../torch/compiled-part.js";
import { batchesOf, Tensor } from "../../../torch/tensor.js";
import { tensorFrom } from "../../../torch/torch-values.js";
import type { BlipConfig } from "../../blip-config.js";
import type { EncoderRow } from "../../encoder-row.js";
import { StackedRows } from "./next-token-logits.js";

/** The compiled decoder that gives the logits of every position at once, `text_decoder_all_positions.pt`: for ranking. */
export class DecoderAllPositions {
  readonly #module: CompiledPart;
  readonly #answerLength: number;
  readonly #config: Pick<BlipConfig, "padTokenId" | "vocabSize">;

  constructor(
    module: CompiledPart,
    shapes: { answerLength: number },
    config: Pick<BlipConfig, "padTokenId" | "vocabSize">,
  ) {
    this.#module = module;
    this.#answerLength = shapes.answerLength;
    this.#config = config;
  }

  /**
   * Computes the logits of sequences about one question, a compiled batch of them in each call.
   * @param signal checked before each call.
   */
  logitsOf(question: EncoderRow, signal?: AbortSignal): LogitsOfSequences {
    const answerLength = this.#answerLength;
    const stacked = new StackedRows([question]);
    return async (sequences, use) => {
      let first = 0;
      for (const { rows: slice, size: batchSize } of batchesOf(sequences, this.#module.batchSizes)) {
        throwIfAborted(signal);
        const { hiddenStates, attentionMask } = stacked.of(
          slice.map(() => 0),
          batchSize,
        );
        const inputIds = Tensor.zeros("int64", [batchSize, answerLength]);
        const answerMask = Tensor.zeros("int64", [batchSize, answerLength]);
        inputIds.data.fill(BigInt(this.#config.padTokenId));
        for (let row = 0; row < batchSize; row++) {
          // The last token is only predicted. A row of padding attends to its first position: a softmax over nothing is NaN.
          const read = slice[row]?.slice(0, -1) ?? [this.#config.padTokenId];
          inputIds.data.set(read.map(BigInt), row * answerLength);
          answerMask.data.fill(1n, row * answerLength, row * answerLength + read.length);
        }
        const output = await this.#module.forward([inputIds, hiddenStates, attentionMask, answerMask]);
        const logits = this.#check(tensorFrom(output, "logits", 0, this.#module.path), batchSize);
        for (const [row, sequence] of slice.entries()) {
          for (let position = 0; position < sequence.length - 1; position++) {
            const at = (row * answerLength + position) * this.#config.vocabSize;
            await use(first + row, position, logits.data.subarray(at, at + this.#config.vocabSize));
          }
        }
        logits.dispose();
        first += slice.length;
      }
    };
  }

  #check(logits: Tensor<"float32">, batchSize: number): Tensor<"float32"> {
    const expected = [batchSize, this.#answerLength, this.#config.vocabSize];
    if (JSON.stringify(logits.shape) === JSON.stringify(expected)) return logits;
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${this.#module.path}" returned logits of [${logits.shape.join(", ")}], not [${expected.join(", ")}]: it does not belong ` +
        "to this config.json. Compile the model again.",
    );
  }
}
