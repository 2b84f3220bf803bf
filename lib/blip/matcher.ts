import type { Tensor } from "../torch/tensor.js";
import type { TokenIds } from "./token-ids.js";

/** Matches pictures and texts: what a model's way of doing so is, is chosen when it is loaded. */
export interface Matcher {
  /** Of each text and its picture, float32 [1, image tokens, vision hidden size]: the logits of "no" and "yes", float32 [1, 2]. */
  matchLogits(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Tensor<"float32">[]>;
  /** One float32 [1, projection size] of length 1 for each picture. */
  imageFeatures(images: readonly Tensor<"float32">[], signal?: AbortSignal): Promise<Tensor<"float32">[]>;
  /** The same for each text. */
  textFeatures(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Tensor<"float32">[]>;
}
