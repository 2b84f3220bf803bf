import type { Tensor } from "../torch/tensor.js";

/** A text as token ids, from [CLS] to [SEP]. */
export interface TokenIds {
  /** The tokens, and maybe padding behind them. */
  readonly ids: readonly number[];
  /** How many of `ids` are tokens. */
  readonly length: number;
  /** The length that all texts of its call were padded to: at least that of `ids`. */
  readonly paddedLength: number;
}

/** Texts for a call of a part, padded on the right to one length. */
export interface PaddedTexts {
  /** int64 [texts, length] */
  inputIds: Tensor<"int64">;
  /** int64 [texts, length]: 1 for the text's tokens, 0 for padding. */
  attentionMask: Tensor<"int64">;
}
