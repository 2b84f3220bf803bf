/** A call's pictures and texts, paired, prepared and encoded, so that one that is bad can fail alone. */
import type { Picture } from "./encoded-image.js";
import { NeuronBlipError, throwIfAborted } from "./errors.js";
import type { LookedAt } from "./looked-at.js";
import type { LookOptions, Pictures } from "./pictures.js";
import type { BlipProcessor, ProcessTextOptions, TextInputs } from "./processing/blip-processor.js";
import { rowsOf, slicesOf } from "./runtime/batch.js";
import type { Shared } from "./runtime/shared.js";
import { Tensor } from "./tensor.js";

/** What is kept in memory at a time: each prepared picture, and each looked at, takes up to 2 MB. */
const PICTURES_AT_ONCE = 32;

/** Each pair that is generated for has its encoded question, and at every step a vocabulary of logits for each of its beams. */
const PAIRS_AT_ONCE = 256;

/** A picture, or several; a text, or several; where both are several, the first belongs to the first. */
export interface PairLists {
  images: Picture | readonly Picture[];
  /** undefined: no text. */
  texts: string | readonly string[] | undefined;
}

/** One picture with its text, ready for a replica. */
export interface PreparedPair {
  /** Its index in the call's list. */
  place: number;
  picture: Shared<LookedAt>;
  /** While it runs: the picture's keys and values, where they are there. */
  keysValues?: Shared<Tensor> | undefined;
  /** int64 [1, length] each, all rows of a call padded to one length. */
  text: TextInputs | undefined;
}

export interface PairOptions extends LookOptions {
  /** Whether a bad pair fails alone. */
  settled?: boolean | undefined;
  /** How to encode the texts; undefined where there are none. */
  text: ProcessTextOptions | undefined;
}

interface Pair {
  place: number;
  image: Picture;
  text: string | undefined;
}

/**
 * Runs every pair.
 * @param run the model, on several pairs; with `settled` each has its own result or error, otherwise the first error is thrown.
 * @returns each pair's result or error, in order.
 * @throws NeuronBlipError `ABORTED`, `DISPOSED`; and, unless `settled`, the first pair's error.
 */
export async function runPairs<T>(
  lists: PairLists,
  processor: BlipProcessor,
  pictures: Pictures,
  options: PairOptions,
  run: (pairs: readonly PreparedPair[]) => Promise<readonly PromiseSettledResult<T>[]>,
): Promise<PromiseSettledResult<T>[]> {
  throwIfAborted(options.signal);
  const pairs = pairUp(lists);
  const failed = (error: unknown): PromiseRejectedResult => {
    const isEnd = error instanceof NeuronBlipError && error.code === "ABORTED";
    if (isEnd || !options.settled) throw error;
    return { status: "rejected", reason: error };
  };
  // Texts first: they fail at no cost.
  const results = new Map<Pair, PromiseSettledResult<T>>();
  const texts = prepareTexts(pairs, processor, options.text, (pair, error) => results.set(pair, failed(error)));
  const readable = pairs.filter((pair) => !results.has(pair));
  for (const portion of portionsOf(readable)) {
    const questions = countOf(portion.map(({ image }) => image));
    const images = [...questions.keys()];
    const outcomes = await pictures.lookAt(images, options);
    const found = new Map(images.map((image, i) => [image, outcomes[i] as PromiseSettledResult<Shared<LookedAt>>]));
    try {
      const ready: PreparedPair[] = [];
      const readyPairs: Pair[] = [];
      for (const pair of portion) {
        const outcome = found.get(pair.image) as PromiseSettledResult<Shared<LookedAt>>;
        if (outcome.status === "rejected") {
          results.set(pair, failed(outcome.reason));
          continue;
        }
        ready.push({ place: pair.place, picture: outcome.value, text: texts.get(pair) });
        readyPairs.push(pair);
      }
      for (const [image, outcome] of found) {
        if (outcome.status === "rejected" || options.text === undefined) continue;
        await pictures.prepareFor(questions.get(image) as number, outcome.value, options.signal);
      }
      for (const [i, some] of slicesOf(ready, PAIRS_AT_ONCE).entries()) {
        for (const [j, outcome] of (await run(some)).entries()) {
          results.set(readyPairs[i * PAIRS_AT_ONCE + j] as Pair, outcome);
        }
      }
    } finally {
      for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.release();
    }
  }
  return pairs.map((pair) => results.get(pair) as PromiseSettledResult<T>);
}

/** @throws the reason of a rejected result. */
export function fulfilled<T>(outcome: PromiseSettledResult<T> | undefined): T {
  if (outcome?.status === "fulfilled") return outcome.value;
  throw outcome?.reason;
}

/** Several texts as one batch, padded on the right to the longest. */
export function stackTexts(rows: readonly TextInputs[], padTokenId: number): TextInputs {
  const [first] = rows as [TextInputs];
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

/** The texts of a batch, each by itself. */
export function textRowsOf({ inputIds, attentionMask }: TextInputs): TextInputs[] {
  const masks = rowsOf(attentionMask);
  return rowsOf(inputIds).map((row, i) => ({ inputIds: row, attentionMask: masks[i] as Tensor<"int64"> }));
}

function pairUp({ images, texts }: PairLists): Pair[] {
  const count = Array.isArray(images) ? images.length : Array.isArray(texts) ? texts.length : 1;
  if (Array.isArray(images) && Array.isArray(texts) && images.length !== texts.length) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${images.length} pictures were given with ${texts.length} texts. Give as many, or one of either.`,
    );
  }
  return Array.from({ length: count }, (_, i) => ({
    place: i,
    image: Array.isArray(images) ? images[i] : images,
    text: Array.isArray(texts) ? texts[i] : texts,
  }));
}

/** Encodes the texts, padded together; those that cannot be go to `fail`. */
function prepareTexts(
  pairs: readonly Pair[],
  processor: BlipProcessor,
  options: ProcessTextOptions | undefined,
  fail: (pair: Pair, error: unknown) => void,
): Map<Pair, TextInputs> {
  if (options === undefined) return new Map();
  const good = pairs.filter((pair) => {
    try {
      // One that is no string at all, processText refuses.
      processor.processText(pair.text as string, options);
      return true;
    } catch (error) {
      fail(pair, error);
      return false;
    }
  });
  if (good.length === 0) return new Map();
  const rows = textRowsOf(
    processor.processText(
      good.map(({ text }) => text as string),
      options,
    ),
  );
  return new Map(good.map((pair, i) => [pair, rows[i] as TextInputs]));
}

/** Splits pairs so that each portion has few different pictures, and one picture's neighbouring texts stay together. */
function portionsOf(pairs: readonly Pair[]): Pair[][] {
  const portions: Pair[][] = [];
  let seen = new Set<Picture>();
  for (const pair of pairs) {
    if (portions.length === 0 || (!seen.has(pair.image) && seen.size === PICTURES_AT_ONCE)) {
      portions.push([]);
      seen = new Set();
    }
    seen.add(pair.image);
    (portions.at(-1) as Pair[]).push(pair);
  }
  return portions;
}

/** How often each item is there, in order of the first. */
function countOf<T>(items: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}
