import { NeuronBlipError } from "../errors.js";
import type { Part } from "../torch/part.js";
import { Tensor } from "../torch/tensor.js";
import { checkInput, type ShapePattern, tensorFrom } from "../torch/torch-values.js";
import type { BlipConfig } from "./blip-config.js";

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
  readonly #module: Part;
  readonly #answerLength: number;
  readonly #encoderShape: ShapePattern;
  readonly #padTokenId: bigint;
  readonly #vocabSize: number;

  /** @param encoderShape of what the decoder attends to, without the batch: [length, hidden size]. */
  constructor(
    module: Part,
    shapes: { answerLength: number },
    encoderShape: ShapePattern,
    config: Pick<BlipConfig, "padTokenId" | "vocabSize">,
  ) {
    this.#module = module;
    this.#answerLength = shapes.answerLength;
    this.#encoderShape = ["any", ...encoderShape];
    this.#padTokenId = BigInt(config.padTokenId);
    this.#vocabSize = config.vocabSize;
  }

  /** Returns how many sequences one call takes: the compiled batch sizes, increasing. */
  get batchSizes(): readonly number[] {
    return this.#module.batchSizes;
  }

  /**
   * Pads the sequences to the compiled length.
   * @param sequences at most as many as the largest compiled batch, of one length. The smallest batch that holds them is
   * filled up with padding.
   * @param into inputs of an earlier step, to be written again where they are of that batch.
   * @throws NeuronBlipError `INVALID_INPUT` for more or longer sequences than compiled.
   */
  prepareInputsForGeneration(sequences: readonly (readonly number[])[], into?: DecoderInputs): DecoderInputs {
    const answerLength = this.#answerLength;
    const batchSize = this.batchSizes.find((size) => size >= sequences.length) ?? this.batchSizes.at(-1) ?? 0;
    const length = sequences[0]?.length ?? 0;
    if (length < 1 || length > answerLength || sequences.length > batchSize) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The decoder was compiled for ${batchSize} sequences of 1 to ${answerLength} tokens, not for ${sequences.length} of ${length}.`,
      );
    }
    if (sequences.some((sequence) => sequence.length !== length)) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        "The sequences of one call must have one length: it has one position.",
      );
    }
    const shape = [batchSize, answerLength];
    const inputs =
      into?.inputIds.shape[0] === batchSize
        ? into
        : {
            inputIds: Tensor.zeros("int64", shape),
            attentionMask: Tensor.zeros("int64", shape),
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
   * Computes one step.
   * @param encoderHiddenStates float32 [batch, length, hidden size]: a question's embeddings from TextEncoderWrapper, or, for
   * captions, a picture's.
   * @param encoderAttentionMask int64 [batch, length]: which of them the answer may attend to.
   * @returns logits of the position after the sequences' ends, float32 [batch, 1, vocabulary size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `ARTIFACT_MISMATCH`, `DISPOSED`.
   */
  async forward(
    inputs: DecoderInputs,
    encoderHiddenStates: Tensor,
    encoderAttentionMask: Tensor,
  ): Promise<Tensor<"float32">> {
    checkInput("encoderHiddenStates", encoderHiddenStates, "float32", this.#encoderShape);
    checkInput("encoderAttentionMask", encoderAttentionMask, "int64", this.#encoderShape.slice(0, 2));
    const output = await this.#module.forward([
      inputs.inputIds,
      encoderHiddenStates,
      encoderAttentionMask,
      inputs.attentionMask,
      inputs.currentPosition,
    ]);
    const logits = tensorFrom(output, "logits", 0, this.#module.path);
    const expected = [inputs.inputIds.shape[0], 1, this.#vocabSize];
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
