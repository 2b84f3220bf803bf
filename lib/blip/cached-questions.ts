import { throwIfAborted } from "../errors.js";
import { rowsOf } from "../runtime/batch.js";
import { Tensor } from "../tensor.js";
import type { TextEncoderCached } from "./text-encoder-cached.js";

/** One question about one picture. */
export interface QuestionRow {
  /** int64 [1, length] */
  inputIds: Tensor<"int64">;
  /** int64 [1, length] */
  attentionMask: Tensor<"int64">;
  /** float32 [1, image tokens, vision hidden size] */
  image: Tensor<"float32">;
  /** The picture's keys and values, where they are at hand. */
  keysValues: Tensor | undefined;
}

/** From so many tokens about one picture on, it pays to compute its keys and values for them. */
const TOKENS_THAT_PAY = 64;

/** The most questions of one call. */
const QUESTIONS_AT_ONCE = 64;

/**
 * Reads questions, those about the same picture (the same tensor) together.
 * @param padTokenId fills the shorter questions of a call up.
 * @returns each question's embeddings, float32 [1, length, text hidden size], in order, of the length of the longest.
 */
export async function encodeQuestions(
  encoder: TextEncoderCached,
  questions: readonly QuestionRow[],
  padTokenId: number,
  signal?: AbortSignal,
): Promise<Tensor<"float32">[]> {
  const byPicture = new Map<Tensor, number[]>();
  for (const [i, { image }] of questions.entries()) byPicture.set(image, [...(byPicture.get(image) ?? []), i]);
  const encoded: Tensor<"float32">[] = [];
  for (const [image, all] of byPicture) {
    const tokens = all.reduce((sum, i) => sum + (questions[i] as QuestionRow).inputIds.size, 0);
    const given = all.map((i) => questions[i]?.keysValues).find((keysValues) => keysValues !== undefined);
    throwIfAborted(signal);
    using made = given === undefined && tokens >= TOKENS_THAT_PAY ? await encoder.imageKeysValues(image) : undefined;
    const keysValues = given ?? made;
    for (let at = 0; at < all.length; at += QUESTIONS_AT_ONCE) {
      const places = all.slice(at, at + QUESTIONS_AT_ONCE);
      throwIfAborted(signal);
      const texts = paddedTexts(
        places.map((i) => questions[i] as QuestionRow),
        padTokenId,
      );
      const embeds = keysValues
        ? await encoder.forwardCached(texts, keysValues)
        : await encoder.forward(texts, image as Tensor<"float32">);
      const rows = rowsOf(embeds);
      for (const [row, place] of places.entries()) encoded[place] = rows[row] as Tensor<"float32">;
    }
  }
  return encoded;
}

function paddedTexts(rows: readonly QuestionRow[], padTokenId: number) {
  const [first] = rows as [QuestionRow];
  if (rows.length === 1) return first;
  const length = Math.max(...rows.map(({ inputIds }) => inputIds.size));
  const inputIds = Tensor.zeros("int64", [rows.length, length]);
  const attentionMask = Tensor.zeros("int64", [rows.length, length]);
  inputIds.data.fill(BigInt(padTokenId));
  for (const [i, row] of rows.entries()) {
    inputIds.data.set(row.inputIds.data, i * length);
    attentionMask.data.set(row.attentionMask.data, i * length);
  }
  return { inputIds, attentionMask };
}
