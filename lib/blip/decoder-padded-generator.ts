import { NeuronBlipError } from "../errors.js";
import { checkInput, type ShapePattern, tensorFrom } from "../runtime/check.js";
import type { TorchModule } from "../runtime/torch-module.js";
import { Tensor } from "../tensor.js";
import type { BlipConfig } from "./blip-config.js";
import type { CompiledShapes } from "./compiled-shapes.js";

/** The decoder's own inputs for one step. */
export interface DecoderInputs {
  /** int64 [batch, answer length]: the sequences so far, padded. */
  inputIds: Tensor<"int64">;
  /** int64 [batch, answer length]: 1 over what is real. */
  attentionMask: Tensor<"int64">;
  /** int64 [1]: where the sequences end, the position whose logits are wanted. */
  currentPosition: Tensor<"int64">;
}

/**
 * The compiled decoder, `text_decoder.pt`: a static graph over answers padded to one length, as Neuron needs. It reads the
 * whole sequence at every step and returns the logits of one position.
 */
export class DecoderPaddedGenerator {
  readonly #module: TorchModule;
  readonly #sequenceShape: readonly [number, number];
  readonly #questionShape: ShapePattern;
  readonly #padTokenId: bigint;
  readonly #vocabSize: number;

  constructor(
    module: TorchModule,
    shapes: Pick<CompiledShapes, "batchSize" | "answerLength" | "questionLength" | "padsQuestions" | "textHiddenSize">,
    config: Pick<BlipConfig, "padTokenId" | "vocabSize">,
  ) {
    this.#module = module;
    this.#sequenceShape = [shapes.batchSize, shapes.answerLength];
    const questionLength = shapes.padsQuestions ? shapes.questionLength : "any";
    this.#questionShape = [shapes.batchSize, questionLength, shapes.textHiddenSize];
    this.#padTokenId = BigInt(config.padTokenId);
    this.#vocabSize = config.vocabSize;
  }

  /**
   * Pads the sequences to the compiled length.
   * @param sequences at most as many as the compiled batch; the longest sets the position. Missing ones are padding.
   * @param into inputs of an earlier step, to be written again.
   * @throws NeuronBlipError `INVALID_INPUT` for more or longer sequences than compiled.
   */
  prepareInputsForGeneration(sequences: readonly (readonly number[])[], into?: DecoderInputs): DecoderInputs {
    const [batchSize, answerLength] = this.#sequenceShape;
    const length = Math.max(0, ...sequences.map((sequence) => sequence.length));
    if (length < 1 || length > answerLength || sequences.length > batchSize) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The decoder was compiled for ${batchSize} sequences of 1 to ${answerLength} tokens, not for ${sequences.length} of ${length}.`,
      );
    }
    const inputs = into ?? {
      inputIds: Tensor.zeros("int64", this.#sequenceShape),
      attentionMask: Tensor.zeros("int64", this.#sequenceShape),
      currentPosition: Tensor.zeros("int64", [1]),
    };
    const ids = inputs.inputIds.data.fill(this.#padTokenId);
    const mask = inputs.attentionMask.data.fill(0n);
    for (let row = 0; row < batchSize; row++) {
      // A row of padding attends to its first position: a softmax over nothing would be NaN.
      mask[row * answerLength] = 1n;
      for (const [i, token] of (sequences[row] ?? []).entries()) {
        ids[row * answerLength + i] = BigInt(token);
        mask[row * answerLength + i] = 1n;
      }
    }
    inputs.currentPosition.data[0] = BigInt(length - 1);
    return inputs;
  }

  /**
   * One step.
   * @param questionEmbeds float32 [batch, question length, text hidden size], from TextEncoderWrapper.
   * @param questionAttentionMask int64 [batch, question length]: which of them the answer may attend to.
   * @returns logits of the position after the sequences' ends, float32 [batch, 1, vocabulary size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `ARTIFACT_MISMATCH`, `DISPOSED`.
   */
  async forward(
    inputs: DecoderInputs,
    questionEmbeds: Tensor,
    questionAttentionMask: Tensor,
  ): Promise<Tensor<"float32">> {
    checkInput("questionEmbeds", questionEmbeds, "float32", this.#questionShape);
    checkInput("questionAttentionMask", questionAttentionMask, "int64", this.#questionShape.slice(0, 2));
    const output = await this.#module.forward([
      inputs.inputIds,
      questionEmbeds,
      questionAttentionMask,
      inputs.attentionMask,
      inputs.currentPosition,
    ]);
    const logits = tensorFrom(output, "logits", 0, this.#module.path);
    const expected = [this.#sequenceShape[0], 1, this.#vocabSize];
    if (JSON.stringify(logits.shape) !== JSON.stringify(expected)) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `"${this.#module.path}" returned logits of [${logits.shape.join(", ")}], not [${expected.join(", ")}]: it does not ` +
          "belong to this config.json. Compile the model again.",
      );
    }
    return logits;
  }
}
