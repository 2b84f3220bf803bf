import type { Tensor } from "../torch/tensor.js";
import type { TokenIds } from "./token-ids.js";

/** Matches pictures and texts: what a model's way of doing so is, is chosen when it is loaded. */
export interface Matcher {
  /**
   * Computes the logits of "no" and "yes", float32 [1, 2], of each text and its picture, float32
   * [1, image tokens, vision hidden size].
   */
  matchLogits(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Tensor<"float32">[]>;
  /** Projects pictures: one float32 [1, projection size] of length 1 for each. */
  imageFeatures(images: readonly Tensor<"float32">[], signal?: AbortSignal): Promise<Tensor<"float32">[]>;
  /** Projects texts in the same way. */
  textFeatures(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Tensor<"float32">[]>;
}
