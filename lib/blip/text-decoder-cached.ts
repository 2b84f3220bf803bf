import { NeuronBlipError } from "../errors.js";
import { checkInput, tensorFrom } from "../torch/check.js";
import type { Functions } from "../torch/part.js";
import { Tensor } from "../torch/tensor.js";
import { type KeysValuesDtype, keyValuesFrom } from "./key-values.js";

/** The inputs of one step of `TextDecoderCached`: N texts of T new tokens, each after T0 that were read before. */
export interface CachedDecoderInputs {
  /** int64 [N, T]: the new tokens. */
  inputIds: Tensor<"int64">;
  /** What the step before returned, [layers, 2, P, heads, T0, head size]; `emptyPast` at first. */
  pastKeysValues: Tensor;
  /** int64 [N]: which of the P rows of the past each text continues. */
  parents: Tensor<"int64">;
  /** From `encoderKeysValues`, [layers, 2, Q, heads, length, head size]. */
  encoderKeysValues: Tensor;
  /** int64 [N]: which of the Q rows each text attends to. */
  encoderRows: Tensor<"int64">;
  /** int64 [Q, length]: which positions of them count. */
  encoderAttentionMask: Tensor<"int64">;
}

export interface CachedDecoderOutput {
  /** float32 [N, vocabulary size]: of the token after each text. */
  logits: Tensor<"float32">;
  /** [layers, 2, N, heads, T0 + T, head size] */
  presentKeysValues: Tensor;
}

/**
 * A checkpoint's text decoder: any number of texts, of any length. It reads each token once, and
 * keeps its keys and values for the steps after.
 */
export class TextDecoderCached {
  readonly #functions: Functions;
  readonly #vocabSize: number;
  readonly #dtype: KeysValuesDtype;
  /** No past: [layers, 2, 1, heads, 0, head size]. */
  readonly emptyPast: Tensor;

  /**
   * @param dtype of the keys and values.
   * @param shape of them: their layers, heads and the width of a head.
   */
  constructor(
    functions: Functions,
    dtype: KeysValuesDtype,
    { layers, heads, headSize }: { layers: number; heads: number; headSize: number },
    { vocabSize }: { vocabSize: number },
  ) {
    this.#functions = functions;
    this.#vocabSize = vocabSize;
    this.#dtype = dtype;
    this.emptyPast = Tensor.zeros(dtype, [layers, 2, 1, heads, 0, headSize]);
  }

  /**
   * What each step attends to, computed once.
   * @param hiddenStates float32 [Q, length, hidden size]: questions' embeddings, or for captions pictures'.
   * @returns [layers, 2, Q, heads, length, head size], float32, or bfloat16 where the model was loaded in it and the CPU has it.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async encoderKeysValues(hiddenStates: Tensor): Promise<Tensor> {
    checkInput("hiddenStates", hiddenStates, "float32", ["any", "any", "any"]);
    const output = await this.#functions.call("encoder_keys_values", [hiddenStates]);
    return keyValuesFrom(output, 0, "encoder_keys_values", this.#dtype, this.#functions.path);
  }

  /** One step. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `ARTIFACT_MISMATCH`, `DISPOSED`. */
  async forward(inputs: CachedDecoderInputs): Promise<CachedDecoderOutput> {
    checkInput("inputIds", inputs.inputIds, "int64", ["any", "any"]);
    checkInput("parents", inputs.parents, "int64", [inputs.inputIds.shape[0] as number]);
    checkInput("encoderRows", inputs.encoderRows, "int64", [inputs.inputIds.shape[0] as number]);
    const { path } = this.#functions;
    const output = await this.#functions.call("next_token_logits", [
      inputs.inputIds,
      inputs.pastKeysValues,
      inputs.parents,
      inputs.encoderKeysValues,
      inputs.encoderRows,
      inputs.encoderAttentionMask,
    ]);
    const logits = tensorFrom(output, "logits", 0, path);
    const expected = [inputs.inputIds.shape[0], this.#vocabSize];
    if (JSON.stringify(logits.shape) !== JSON.stringify(expected)) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `"${path}" returned logits of [${logits.shape.join(", ")}], not [${expected.join(", ")}]: it does not belong to this ` +
          "config.json.",
      );
    }
    const presentKeysValues = keyValuesFrom(output, 1, "present_keys_values", this.#dtype, path);
    return { logits, presentKeysValues };
  }
}
