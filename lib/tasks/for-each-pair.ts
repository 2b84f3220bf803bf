import type { GenerationConfig } from "../generation/generation-config.js";
import type { RunOptions } from "../serving/batch-queue.js";
import { fulfilled } from "../util/settled.js";
import type { BatchKey } from "./batch-key.js";
import { holdPicture, type LoadedModel } from "./loaded-model.js";
import { type PairLists, type PairOptions, type PreparedPair, runPairs } from "./run-pairs.js";

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
  options: PairOptions,
  run: (pairs: readonly PreparedPair[], options: RunOptions) => Promise<PromiseSettledResult<T>[]>,
): Promise<ResultFor<T>> {
  const one = !Array.isArray(lists.images) && !Array.isArray(lists.texts);
  const settled = options.settled && !one;
  const outcomes = await model.call((ticket) =>
    runPairs(lists, model.images, { ...options, settled, ticket }, (pairs) =>
      run(pairs, { signal: options.signal, settled, ticket }),
    ),
  );
  if (one) return fulfilled(outcomes[0]);
  return settled ? outcomes : outcomes.map(fulfilled);
}

/** What jobs that generate have in common. */
export function generationJob<Options extends GenerationConfig>(
  { batch }: LoadedModel,
  { options, key, callsBack }: BatchKey<Options>,
  pairs: readonly PreparedPair[],
) {
  // With "ones" the decoder sees the padding that the questions of one call have.
  const padded = "questionMask" in options && options.questionMask === "ones" ? pairs[0]?.text?.paddedLength : 0;
  return {
    ...batch,
    key: key && `${padded} ${key}`,
    callsBack,
    retry: options.streamer === undefined, // it has had tokens already
    hold: holdPicture,
  };
}

/** Makes results of others; where that fails, it is that row's error. */
export async function mapped<T, U>(
  outcomes: Promise<PromiseSettledResult<T>[]>,
  map: (value: T) => U,
): Promise<PromiseSettledResult<U>[]> {
  return Promise.allSettled((await outcomes).map(async (outcome) => map(fulfilled(outcome))));
}
