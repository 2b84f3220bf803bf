/** What the tasks have in common: a model of the class that they need, and a job that is done for pairs of a picture and a text. */
import { type Architecture, HEADS } from "../blip/heads.js";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { snapshotBytes } from "../images/open-picture.js";
import type { CallName } from "../serving/job.js";
import { fulfilled } from "../util/concurrency.js";
import { inTurns } from "../util/turns.js";
import { type AnyModel, type LoadedModel, NO_TEXT, type PairJob, type PreparedPair } from "./loaded-model.js";
import { type PairLists, type PairOptions, runPairs } from "./run-pairs.js";

/** A result for one pair; a list of results, or with `settled` of outcomes, for lists. */
export type ResultFor<T> = T | T[] | PromiseSettledResult<T>[];

/** One of the classes of models, whose constructors are private. */
interface ModelClass<Model> extends NewableFunction {
  readonly prototype: Model;
}

/** Checks a model's class. @throws NeuronBlipError `ARTIFACT_MISMATCH` for a model of another class than a task needs. */
export function checkModel<Model extends AnyModel>(
  model: LoadedModel,
  Class: ModelClass<Model>,
  needed: Architecture,
  task: string,
): asserts model is LoadedModel<Model> {
  if (model.replica instanceof Class) return;
  const { architecture } = model.replica.config;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `${task} needs a ${needed}. This model is a ${architecture}: it can ${HEADS[architecture].can}.`,
  );
}

/**
 * Does a task's job for each pair of a picture and a text.
 * @throws NeuronBlipError as `runPairs`; `QUEUE_FULL`.
 */
export function forEachPair<Model extends AnyModel, T>(
  model: LoadedModel<Model>,
  { images, texts }: PairLists,
  { task, callId, ...options }: PairOptions & CallName,
  job: PairJob<Model, T>,
): Promise<ResultFor<T>> {
  return model.queue.admit({ task, callId }, async (ticket) => {
    const run = { ...options, ticket };
    if (isOne(images) && isOne(texts)) return runPair(model, images, texts, run, job);
    const outcomes = await runPairs(model, { images, texts }, run, job);
    return options.settled ? outcomes : outcomes.map(fulfilled);
  });
}

function isOne<T>(given: T | readonly T[]): given is T {
  return !Array.isArray(given);
}

/**
 * Does a job for one pair: its text becomes token ids, its picture features, and both join the queue.
 * @throws NeuronBlipError `ABORTED`, `DISPOSED`; what is wrong with the text or the picture.
 */
export async function runPair<Model extends AnyModel, T>(
  { images, queue }: LoadedModel<Model>,
  image: Picture,
  text: string,
  { encode, signal, ticket }: PairOptions,
  job: PairJob<Model, T>,
): Promise<T> {
  throwIfAborted(signal);
  const picture = typeof image === "string" ? image : snapshotBytes(image);
  // The text first: it fails at no cost. Nearly every one is read in its first step.
  const steps = encode?.(text);
  const first = steps?.next();
  const ids = steps && (first?.done ? first.value : await inTurns(steps, signal));
  const features = await images.encode(picture, { signal, ticket });
  try {
    if (ids) await images.keyValues.prepareFor([ids.length], features, signal);
    const tokenIds = ids ? { ids, length: ids.length, paddedLength: ids.length } : NO_TEXT;
    const pair = { ...tokenIds, place: 0, features, image: features.imageEmbeds, keyValues: undefined };
    const [result] = await queue.run([pair], job, { signal, ticket });
    return result;
  } finally {
    features.release();
  }
}

/** Keeps a pair's picture until its batch has ended, with what there is of it when that begins: see `Job.hold`. */
export function holdPicture(pair: PreparedPair): () => void {
  const { features } = pair;
  features.retain();
  const keyValues = features.keyValues?.retain();
  pair.keyValues = keyValues?.value;
  return () => {
    pair.keyValues = undefined;
    keyValues?.release();
    features.release();
  };
}
