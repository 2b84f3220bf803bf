import { throwIfAborted } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { ImageEncoder } from "../images/image-encoder.js";
import { snapshotBytes } from "../images/open-picture.js";
import type { RunOptions } from "../serving/batch-queue.js";
import { fulfilled } from "../util/concurrency.js";
import { inTurns } from "../util/turns.js";
import { isList } from "../util/values.js";
import type { CallName, LoadedModel, PreparedPair } from "./loaded-model.js";
import { type PairLists, type PairOptions, runPairs } from "./run-pairs.js";

/** A result for one pair; a list of results, or with `settled` of outcomes, for lists. */
export type ResultFor<T> = T | T[] | PromiseSettledResult<T>[];

/**
 * Runs a task for each pair of a picture and a text.
 * @param run the model, on several pairs.
 * @throws NeuronBlipError as `runPairs`; `QUEUE_FULL`.
 */
export async function forEachPair<T>(
  model: LoadedModel,
  lists: PairLists,
  { task, callId, ...options }: PairOptions & CallName,
  run: (pairs: readonly PreparedPair[], options: RunOptions) => Promise<PromiseSettledResult<T>[]>,
): Promise<ResultFor<T>> {
  const { images, texts } = lists;
  const { signal, settled } = options;
  const name = { task, callId };
  if (!isList(images) && !isList(texts)) {
    return model.call(name, (ticket) =>
      runPair(images, texts, model.images, { ...options, ticket }, (pairs) => run(pairs, { signal, ticket })),
    );
  }
  const outcomes = await model.call(name, (ticket) =>
    runPairs(lists, model.images, { ...options, ticket }, (pairs) => run(pairs, { signal, settled, ticket })),
  );
  return settled ? outcomes : outcomes.map(fulfilled);
}

/** Runs one pair: its text becomes token ids, its picture features; then the model runs. */
export async function runPair<T>(
  image: Picture,
  text: string,
  images: ImageEncoder,
  options: PairOptions,
  run: (pairs: readonly PreparedPair[]) => Promise<readonly PromiseSettledResult<T>[]>,
): Promise<T> {
  const { encode, signal } = options;
  throwIfAborted(signal);
  const picture = snapshotBytes(image);
  // The text first: it fails at no cost.
  const ids = encode && (await inTurns(encode(text), signal));
  const features = await images.encode(picture, options);
  try {
    if (ids) await images.keyValues.prepareFor([ids.length], features, signal);
    const tokenIds = ids && { ids, length: ids.length, paddedLength: ids.length };
    const [outcome] = await run([{ place: 0, features, text: tokenIds }]);
    return fulfilled(outcome);
  } finally {
    features.release();
  }
}
