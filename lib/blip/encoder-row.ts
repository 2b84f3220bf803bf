import type { Tensor } from "../torch/tensor.js";

/** What the decoder attends to for one row: a question's embeddings, or a picture's. */
export interface EncoderRow {
  /** float32 [1, length, hidden size] */
  readonly hiddenStates: Tensor<"float32">;
  /** How many positions the decoder may attend to, from the first on. */
  readonly attended: number;
}
