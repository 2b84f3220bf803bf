import { checkInput, tensorFrom } from "../torch/check.js";
import type { Functions } from "../torch/part.js";
import type { Tensor } from "../torch/tensor.js";
import { type KeysValuesDtype, keyValuesFrom } from "./key-values.js";

/** Questions about one picture, padded to the longest. */
export interface PaddedTexts {
  /** int64 [questions, length] */
  inputIds: Tensor<"int64">;
  /** int64 [questions, length]: 1 for the question's tokens, 0 for padding. */
  attentionMask: Tensor<"int64">;
}

/**
 * A checkpoint's text encoder: any number of questions about one picture, of any length. What its
 * attention to the picture computes of the picture alone can be computed once (`imageKeysValues`), or not at all (`forward`).
 */
export class TextEncoderCached {
  readonly #functions: Functions;
  readonly #dtype: KeysValuesDtype;
  readonly #imageShape: readonly [1, number | "any", number];

  /**
   * @param dtype of the keys and values.
   * @param shapes of a picture's embeddings; "any" tokens where pictures may be of any size.
   */
  constructor(
    functions: Functions,
    dtype: KeysValuesDtype,
    shapes: { imageTokens: number | "any"; visionHiddenSize: number },
  ) {
    this.#functions = functions;
    this.#dtype = dtype;
    this.#imageShape = [1, shapes.imageTokens, shapes.visionHiddenSize];
  }

  /**
   * Reads questions without the picture's keys and values: the faster way for a few tokens.
   * @param imageEmbeds float32 [1, image tokens, vision hidden size].
   * @returns question embeddings, float32 [questions, length, text hidden size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async forward({ inputIds, attentionMask }: PaddedTexts, imageEmbeds: Tensor): Promise<Tensor<"float32">> {
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#imageShape);
    const output = await this.#functions.call("question_embeds", [inputIds, attentionMask, imageEmbeds]);
    return tensorFrom(output, "question_embeds", 0, this.#functions.path);
  }

  /**
   * What `forwardCached` needs of a picture.
   * @param imageEmbeds float32 [1, image tokens, vision hidden size].
   * @returns [layers, 2, heads, image tokens, head size], float32, or bfloat16 where the model was loaded in it and the CPU has it.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async imageKeysValues(imageEmbeds: Tensor): Promise<Tensor> {
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#imageShape);
    const output = await this.#functions.call("image_keys_values", [imageEmbeds]);
    return keyValuesFrom(output, 0, "image_keys_values", this.#dtype, this.#functions.path);
  }

  /** As `forward`, from what `imageKeysValues` made of the picture. */
  async forwardCached({ inputIds, attentionMask }: PaddedTexts, keysValues: Tensor): Promise<Tensor<"float32">> {
    checkInput("imageKeysValues", keysValues, this.#dtype, ["any", 2, "any", this.#imageShape[1], "any"]);
    const output = await this.#functions.call("question_embeds_cached", [inputIds, attentionMask, keysValues]);
    return tensorFrom(output, "question_embeds", 0, this.#functions.path);
  }
}
