import type { ReplicaOptions } from "./blip/load-parts.js";
import { checkDtype } from "./blip/parts/checkpoint/load-checkpoint.js";
import { NeuronBlipError, readOptions } from "./errors.js";
import { checkHubOptions, HUB_OPTIONS } from "./hub/hub-options.js";
import type { PictureCacheOptions } from "./images/image-features.js";
import { sourceSettings } from "./images/open-picture.js";
import type { SourceOptions } from "./processing/image-source.js";
import { parseCores } from "./torch/neuron/cores.js";
import { type ModelDirectory, pathOf } from "./util/model-path.js";
import { isWhole, shown } from "./util/values.js";

/** How to load a model, and how it serves calls. */
export interface NeuronBlipOptions extends ReplicaOptions, SourceOptions {
  /** How many cores of the CPU each replica may use. Default: an equal share. */
  threads?: number;
  /**
   * How many pictures are decoded at a time, each on a thread of its own, unless they are very large. All models of a process share
   * the threads: the last one that sets it decides. sharp takes no more at a time than half of libuv's threads
   * (`UV_THREADPOOL_SIZE`). Default: one for each core, but 2 to 4.
   */
  decoderThreads?: number;
  /**
   * How many replicas to load; requests go to the least busy one. "all": one for each NeuronCore that this process may use,
   * and 1 on the CPU. Default 1.
   */
  numModels?: number | "all";
  /**
   * Where a NeuronCore fails, its replica is taken out and loaded again after this pause, in ms, which doubles with each
   * attempt that fails, up to a minute. Default 1000.
   */
  reloadDelayMs?: number;
  /**
   * A NeuronCore whose replica could not be loaded again so many times in a row is given up (event `replicaGivenUp`); one with a
   * hardware error also when it comes for the third time. Where all are, every call gets `NEURON_RESTART_REQUIRED` (event
   * `restartRequired`). Default 5.
   */
  maxReloadAttempts?: number;
  /** Where the tokenizer's files are, where the model directory has none (the tutorial's). */
  tokenizer?: ModelDirectory;
  /** The most pixels that a picture may declare before it is decoded. Default 89,478,485, as Pillow. */
  maxPixels?: number;
  /**
   * The most rows (questions, captions or texts) of one batch, where the parts take any number: those that are waiting when a
   * replica is free run together. Default 16. Parts that were compiled for certain batch sizes are filled to the largest; a
   * smaller number given here holds for them too.
   */
  maxBatchSize?: number;
  /**
   * How long a row waits for others to fill its batch where a replica is free, in ms. Default 0: only those that are waiting
   * anyway run together.
   */
  maxBatchDelayMs?: number;
  /**
   * How many calls may wait for a replica to begin with them, the decoding of their pictures included; those that come later get
   * `QUEUE_FULL` at once. A call with a long list is one. Default 1000. As `{ perReplica }`, so many for each replica that is loaded.
   */
  maxQueueLength?: number | { readonly perReplica: number };
  /**
   * What is found in a picture is kept for a while, by the picture's content, so that one that is asked about again, or by several
   * callers at the same time, is encoded once. `maxBytes` bounds the memory for that (default 256 MiB). A picture of
   * 384 x 384 pixels takes 1.8 MB. Of a checkpoint, what the text encoder needs of it is kept
   * from the second call about it on: 42 MB more, or 21 MB in bfloat16, in at most half of that memory. A picture
   * that nobody asks about for `maxAgeMs` (default 60,000) is let go of.
   * false: every call encodes its pictures anew.
   */
  pictureCache?: PictureCacheOptions | boolean;
}

const NAMES: readonly (keyof NeuronBlipOptions)[] = [
  ...HUB_OPTIONS,
  "numModels",
  "threads",
  "decoderThreads",
  "verify",
  "questionLength",
  "answerLength",
  "tokenizer",
  "maxPixels",
  "maxBytes",
  "fetch",
  "files",
  "libtorchneuron",
  "cores",
  "callsInFlight",
  "warmUp",
  "reloadDelayMs",
  "maxReloadAttempts",
  "maxBatchSize",
  "maxBatchDelayMs",
  "maxQueueLength",
  "pictureCache",
  "dtype",
  "interpolatePosEncoding",
  "size",
];

/** More than any host has NeuronCores. */
const MOST_MODELS = 256;

/** More than any host needs: each may take 2 GB. */
const MOST_DECODER_THREADS = 64;

/** What timers can wait: a day, amply. */
const A_DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Reads and checks the options of loading.
 * @returns the options, read once.
 * @throws NeuronBlipError `INVALID_INPUT` for options that do not exist, and for values that are not what they must be.
 */
export function readLoadingOptions(given: NeuronBlipOptions): NeuronBlipOptions {
  const options = readOptions(given, "fromPretrained", NAMES);
  checkHubOptions(options);
  const {
    numModels,
    decoderThreads,
    tokenizer,
    cores,
    reloadDelayMs,
    maxReloadAttempts,
    maxBatchSize,
    maxBatchDelayMs,
    maxQueueLength,
    pictureCache,
  } = options;
  checkDtype(options.dtype);
  if (cores !== undefined) parseCores(cores);
  sourceSettings(options);
  if (tokenizer !== undefined) pathOf(tokenizer, "tokenizer, a directory,");
  const models = `a whole number from 1 to ${MOST_MODELS}, as each has a thread and weights of its own, or "all"`;
  check("numModels", numModels, models, (value) => value === "all" || isWhole(value, 1, MOST_MODELS));
  const threads = `a whole number from 1 to ${MOST_DECODER_THREADS}`;
  check("decoderThreads", decoderThreads, threads, (value) => isWhole(value, 1, MOST_DECODER_THREADS));
  check("reloadDelayMs", reloadDelayMs, `a number of ms from 0 to ${A_DAY_MS}`, isDelay);
  check("maxReloadAttempts", maxReloadAttempts, "a whole number >= 1", (value) => isWhole(value, 1));
  check("maxBatchSize", maxBatchSize, "a whole number from 1 to 1024", (value) => isWhole(value, 1, 1024));
  check("maxBatchDelayMs", maxBatchDelayMs, `a number of ms from 0 to ${A_DAY_MS}`, isDelay);
  const perReplica = typeof maxQueueLength === "object" ? maxQueueLength?.perReplica : maxQueueLength;
  check("maxQueueLength", perReplica ?? maxQueueLength, "a whole number >= 1, or { perReplica }", (value) =>
    isWhole(value, 1),
  );
  if (typeof pictureCache === "boolean" || pictureCache === undefined) return options;
  check("pictureCache", pictureCache, "true, false or { maxBytes, maxAgeMs }", (value) => typeof value === "object");
  const cache = readOptions(pictureCache, "pictureCache", ["maxBytes", "maxAgeMs"]);
  const { maxBytes, maxAgeMs } = cache;
  check("pictureCache.maxBytes", maxBytes, "a whole number >= 0", (value) => isWhole(value, 0));
  check("pictureCache.maxAgeMs", maxAgeMs, `a number of ms from 0 to ${A_DAY_MS}`, isDelay);
  return { ...options, pictureCache: cache };
}

function check(name: string, value: unknown, must: string, is: (value: unknown) => boolean): void {
  if (value === undefined || (value !== null && is(value))) return;
  throw new NeuronBlipError("INVALID_INPUT", `${name} must be ${must}, not ${shown(value)}.`);
}

function isDelay(value: unknown): boolean {
  return typeof value === "number" && value >= 0 && value <= A_DAY_MS;
}
