import type { Tensor } from "../torch/tensor.js";
import type { TokenIds } from "./token-ids.js";

/** Matches pictures and texts: what a model's way of doing so is, is chosen when it is loaded. */
export interface Matcher {
  /** Computes the logits of "no" and "yes" of each text and its picture, float32 [1, image tokens, vision hidden size]. */
  matchLogits(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]>;
  /** Projects pictures: each to a vector of the projection size, of length 1. */
  imageFeatures(images: readonly Tensor<"float32">[], signal?: AbortSignal): Promise<Float32Array[]>;
  /** Projects texts in the same way. */
  textFeatures(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Float32Array[]>;
}
