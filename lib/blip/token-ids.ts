import { Tensor } from "../torch/tensor.js";
import { tooLong } from "./compiled-shapes.js";

/** A text as token ids, from [CLS] to [SEP]. */
export interface TokenIds {
  /** The tokens, and maybe padding behind them. */
  readonly ids: readonly number[];
  /** How many of `ids` are tokens. */
  readonly length: number;
  /** The length that all texts of its call were padded to: at least that of `ids`. */
  readonly paddedLength: number;
}

/**
 * Makes a text's tensors for a part.
 * @param attended how many positions the mask leaves in.
 * @param width the compiled length, or the text's own for a part that takes any.
 * @returns int64 [1, width] each.
 */
export function paddedRow(
  { ids }: TokenIds,
  attended: number,
  width: number,
  padTokenId: number,
): { inputIds: Tensor<"int64">; attentionMask: Tensor<"int64"> } {
  const inputIds = Tensor.zeros("int64", [1, width]);
  inputIds.data.fill(BigInt(padTokenId)).set(ids.slice(0, width).map(BigInt));
  return { inputIds, attentionMask: onesThenZeros(attended, width) };
}

/**
 * Makes one call's tensors of several texts, padded on the right to the longest.
 * @param rows `attended`: how many ids, padding included, each is to have.
 */
export function paddedRows(
  rows: readonly (TokenIds & { readonly attended: number })[],
  padTokenId: number,
): { inputIds: Tensor<"int64">; attentionMask: Tensor<"int64"> } {
  const width = Math.max(...rows.map(({ attended }) => attended));
  const inputIds = Tensor.zeros("int64", [rows.length, width]);
  const attentionMask = Tensor.zeros("int64", [rows.length, width]);
  inputIds.data.fill(BigInt(padTokenId));
  for (const [i, { ids, length, attended }] of rows.entries()) {
    inputIds.data.set(ids.slice(0, attended).map(BigInt), i * width);
    attentionMask.data.fill(1n, i * width, i * width + length);
  }
  return { inputIds, attentionMask };
}

/** Makes an attention mask, int64 [1, width]. */
export function onesThenZeros(ones: number, width: number): Tensor<"int64"> {
  const mask = Tensor.zeros("int64", [1, width]);
  mask.data.fill(1n, 0, ones);
  return mask;
}

/**
 * From so many tokens about one picture on, computing its keys and values takes less time than it saves them; for fewer, each attends
 * to the picture's embeddings by themselves.
 */
const TOKENS_THAT_PAY = 64;

/**
 * Whether a picture's keys and values are worth computing for texts about it.
 * @param lengths of the texts, in tokens.
 */
export function keyValuesPay(lengths: Iterable<number>): boolean {
  let tokens = 0;
  for (const length of lengths) {
    tokens += length;
    if (tokens >= TOKENS_THAT_PAY) return true;
  }
  return false;
}

/** @throws NeuronBlipError `INPUT_TOO_LONG` for more tokens than the model takes. */
export function checkTextLength(
  row: number,
  length: number,
  shapes: { questionLength: number; isCompiled: boolean },
): void {
  if (length <= shapes.questionLength) return;
  throw tooLong("INPUT_TOO_LONG", `Question ${row}`, length, shapes.questionLength, "question", shapes);
}
