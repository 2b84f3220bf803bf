import { attentionMaskOf, int64 } from "../torch/batch.js";
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

/**
 * Makes one call's tensors of texts.
 * @param width the compiled length; for a part that takes any, that of the longest, which is the default.
 */
export function paddedTexts(
  texts: readonly TokenIds[],
  padTokenId: number,
  width = Math.max(...texts.map(({ length }) => length)),
): PaddedTexts {
  const ids = texts.flatMap(({ ids }) => Array.from({ length: width }, (_, i) => ids[i] ?? padTokenId));
  const lengths = texts.map(({ length }) => length);
  return { inputIds: int64(ids, [texts.length, width]), attentionMask: attentionMaskOf(lengths, width) };
}
