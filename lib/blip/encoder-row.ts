import type { Tensor } from "../torch/tensor.js";

/** What the decoder attends to for one row: a question's embeddings, or a picture's. */
export interface EncoderRow {
  /** float32 [1, length, hidden size] */
  hiddenStates: Tensor<"float32">;
  /** int64 [1, length] */
  attentionMask: Tensor<"int64">;
}
