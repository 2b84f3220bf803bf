/** A call's lists of pictures and texts, paired, prepared and encoded in portions, so that one that is bad can fail alone. */
import type { TokenIds } from "../blip/token-ids.js";
import { forList, NeuronBlipError, throwIfAborted } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { EncodeOptions } from "../images/image-encoder.js";
import { snapshotBytes } from "../images/open-picture.js";
import { inTurns, isTurnOver, nextTurn } from "../util/turns.js";
import { isList } from "../util/values.js";
import type { Encode } from "./encode-text.js";
import { type AnyModel, type LoadedModel, NO_TEXT, type PairJob, type PreparedPair } from "./loaded-model.js";
import { IndexGroups, TokenIdRows } from "./long-lists.js";

/** What is kept in memory at a time: each prepared picture, and each encoded, takes up to 2 MB. */
export const PICTURES_AT_ONCE = 32;

/** Each pair that is generated for has its encoded question, and at every step a vocabulary of logits for each of its beams. */
export const PAIRS_AT_ONCE = 256;

/** A picture, or several; a text, or several; where both are several, the first belongs to the first. */
export interface PairLists {
  images: Picture | readonly Picture[];
  texts: string | readonly string[];
}

export interface PairOptions extends EncodeOptions {
  /** Whether a bad pair of a list fails alone. */
  settled?: boolean | undefined;
  /** Gives a text's token ids, in steps; undefined where texts have no part in it. */
  encode: Encode | undefined;
}

/** The outcome of a pair that has none yet. */
const PENDING: PromiseRejectedResult = { status: "rejected", reason: undefined };

/**
 * Does a job for every pair, in portions, so that a list of any length neither holds the event loop nor is prepared whole.
 * @returns each pair's result or error, in order.
 * @throws NeuronBlipError `ABORTED`, `DISPOSED`; and, unless `settled`, the first pair's error.
 */
export async function runPairs<Model extends AnyModel, T>(
  { images, queue }: LoadedModel<Model>,
  lists: PairLists,
  options: PairOptions,
  job: PairJob<Model, T>,
): Promise<PromiseSettledResult<T>[]> {
  const { encode, signal, ticket, settled } = options;
  const run = { signal, ticket };
  throwIfAborted(signal);
  const pairs = pairUp(lists);
  const failed = (error: unknown): PromiseRejectedResult => {
    const isEnd = error instanceof NeuronBlipError && error.code === "ABORTED";
    if (isEnd || !settled) throw error;
    return { status: "rejected", reason: forList(error) };
  };
  const results = new Array<PromiseSettledResult<T>>(pairs.count).fill(PENDING);
  // Texts first: they fail at no cost.
  const texts = await inTurns(
    encodeSteps(pairs, encode, (place, error) => {
      results[place] = failed(error);
    }),
    signal,
  );
  const isWanted = (place: number) => results[place] === PENDING;
  const groups = await inTurns(groupSteps(pairs, isWanted), signal);
  const groupEntries = groups.entries();
  for (;;) {
    const portion = nextOf(groupEntries, PICTURES_AT_ONCE);
    if (portion.length === 0) break;
    throwIfAborted(signal);
    const outcomes = await images.encodeAll(
      portion.map(([image]) => image),
      run,
    );
    try {
      for (const [i, [, first]] of portion.entries()) {
        const outcome = outcomes[i];
        if (outcome?.status !== "fulfilled") failed(outcome?.reason);
        else if (encode) {
          await images.keyValues.prepareFor(lengthsOf(groups.indicesFrom(first), texts), outcome.value, signal);
        }
      }
      let ready: PreparedPair[] = [];
      const runReady = async () => {
        const outcomes = settled
          ? await queue.run(ready, job, { ...run, settled })
          : (await queue.run(ready, job, run)).map((value) => ({ status: "fulfilled", value }) as const);
        for (const [i, { place }] of ready.entries()) results[place] = outcomes[i] ?? PENDING;
        ready = [];
      };
      for (const [i, [, first]] of portion.entries()) {
        const outcome = outcomes[i];
        for (const place of groups.indicesFrom(first)) {
          if (isTurnOver()) await nextTurn(signal);
          if (outcome?.status !== "fulfilled") {
            results[place] = failed(outcome?.reason);
            continue;
          }
          const { value: features } = outcome;
          ready.push({ ...texts(place), place, features, image: features.imageEmbeds, keyValues: undefined });
          if (ready.length === PAIRS_AT_ONCE) await runReady();
        }
      }
      if (ready.length > 0) await runReady();
    } finally {
      for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.release();
    }
  }
  return results;
}

/**
 * Encodes texts in steps of less than a millisecond.
 * @param fail told of those that cannot be.
 * @returns what gives each text by its place, all padded together.
 */
export function* encodeSteps(
  texts: { readonly count: number; text(place: number): string },
  encode: Encode | undefined,
  fail: (place: number, error: unknown) => void,
): Generator<void, (place: number) => TokenIds> {
  if (encode === undefined) return () => NO_TEXT;
  const encoded = new TokenIdRows();
  let width = 0;
  let bad: { readonly text: string; readonly error: unknown } | undefined;
  for (let place = 0; place < texts.count; place++) {
    yield;
    const text = texts.text(place);
    let ids: readonly number[] = [];
    // Of the same text again, the same error: each has a stack, which takes long to collect.
    if (bad !== undefined && text === bad.text) fail(place, bad.error);
    else {
      try {
        // One that is no string at all, it refuses.
        ids = yield* encode(text);
      } catch (error) {
        bad = { text, error };
        fail(place, error);
      }
    }
    encoded.push(ids);
    width = Math.max(width, ids.length);
  }
  return (place) => {
    const ids = encoded.at(place);
    return { ids, length: ids.length, paddedLength: width };
  };
}

function* lengthsOf(places: Iterable<number>, texts: (place: number) => TokenIds): Generator<number> {
  for (const place of places) yield texts(place).length;
}

/** Takes the next items, at most so many: not by `for`, which would end the iterator. */
function nextOf<T>(items: Iterator<T>, most: number): T[] {
  const next: T[] = [];
  while (next.length < most) {
    const { done, value } = items.next();
    if (done) break;
    next.push(value);
  }
  return next;
}

/** A call's lists, as they were when it came. */
interface Pairs {
  readonly count: number;
  image(place: number): Picture;
  text(place: number): string;
}

function pairUp({ images, texts }: PairLists): Pairs {
  if (isList(images) && isList(texts) && images.length !== texts.length) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${images.length} pictures were given with ${texts.length} texts. Give as many, or one of either.`,
    );
  }
  const count = isList(images) ? images.length : isList(texts) ? texts.length : 1;
  const imageAt = itemsOf<Picture>(images);
  // Bytes in memory that the first portion needs are copied now, before the call returns to its caller.
  const snapshots = new Map<Picture, Picture>();
  for (const image of isList(images) ? images : [images]) {
    if (snapshots.size === PICTURES_AT_ONCE) break;
    if (!snapshots.has(image)) snapshots.set(image, snapshotBytes(image));
  }
  return {
    count,
    image: (place) => {
      const image = imageAt(place);
      return snapshots.get(image) ?? image;
    },
    text: itemsOf<string>(texts),
  };
}

/** Returns what gives an item by its place in a list, or the one that stands for all. */
export function itemsOf<T>(given: T | readonly T[]): (place: number) => T {
  if (!isList(given)) return () => given;
  const items = given.slice();
  return (place) => items[place] as T; // what a caller left out, too
}

/**
 * Sorts pairs by their pictures, in steps: all of a picture's texts run together, so that a stream, which can be read once, may come
 * several times in a list, and others are encoded once.
 * @param isWanted false for pairs that have failed.
 */
function* groupSteps(pairs: Pairs, isWanted: (place: number) => boolean): Generator<void, IndexGroups<Picture>> {
  const groups = new IndexGroups<Picture>(pairs.count);
  for (let place = 0; place < pairs.count; place++) {
    yield;
    if (isWanted(place)) groups.add(pairs.image(place), place);
  }
  return groups;
}
