/** What is kept of pictures that were encoded. */
import { performance } from "node:perf_hooks";
import { clearTimeout, setTimeout } from "node:timers";
import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import { keyValuesPay } from "../blip/parts/checkpoint/question-encoder.js";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import type { BatchQueue } from "../serving/batch-queue.js";
import type { Job } from "../serving/job.js";
import type { Tensor } from "../torch/tensor.js";
import { untilAborted } from "../util/concurrency.js";
import { RefCounted } from "../util/ref-counted.js";

/**
 * What a model made of a picture, in native memory, which is freed when the last user has released it. Whoever makes it is the
 * first user.
 */
export class ImageFeatures {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;
  /** What they take. */
  readonly bytes: number;
  /**
   * What the text encoder's attention to the picture computes of it, whatever the question, once it has been computed; bigger
   * than the embeddings: 42 MB in fp32 for BLIP's 577 image tokens.
   */
  keyValues: RefCounted<Tensor> | undefined;
  #users: number;

  /** Begins with one user. @param keyValues is given over. */
  constructor(imageEmbeds: Tensor<"float32">, keyValues?: RefCounted<Tensor>) {
    this.imageEmbeds = imageEmbeds;
    this.bytes = imageEmbeds.size * Float32Array.BYTES_PER_ELEMENT;
    this.keyValues = keyValues;
    this.#users = 1;
  }

  /** Adds a user. */
  retain(): this {
    this.#users++;
    return this;
  }

  /** Removes a user: once for each `retain`, and once for the first. */
  release(): void {
    if (--this.#users > 0) return;
    this.imageEmbeds.dispose();
    this.forgetKeyValues();
  }

  /** Releases the keys and values: the next questions do without. */
  forgetKeyValues(): void {
    this.keyValues?.release();
    this.keyValues = undefined;
  }
}

/** Counts the bytes of keys and values: of float32, or of a half type. */
function bytesOf(keyValues: Tensor | undefined): number {
  if (keyValues === undefined) return 0;
  return keyValues.size * (keyValues.dtype === "float32" ? 4 : 2);
}

export interface PictureCacheOptions {
  /** The most native memory that pictures in the cache take, in bytes; their keys and values at most half of it. Default 256 MiB. */
  maxBytes?: number;
  /** How long a picture that nobody asks about is kept, in ms. Default 60,000. */
  maxAgeMs?: number;
}

interface Entry {
  readonly features: ImageFeatures;
  readonly usedAt: number;
  readonly usedBefore: number;
}

/** A picture that is being encoded, for all that ask for it meanwhile. */
interface Encoding {
  readonly done: Promise<ImageFeatures>;
  readonly controller: AbortController;
  askers: number;
}

/** Errors that say something of the picture, whoever asks. */
const OF_THE_PICTURE: readonly string[] = ["INVALID_IMAGE", "IMAGE_TOO_LARGE", "INVALID_INPUT"];

/**
 * Keeps pictures' features, by the pictures' content. Those that are asked for at the same time are encoded once; those asked for
 * longest ago make room for others. Keys and values, which are much larger and quicker to make, have half of the memory, so that
 * they do not evict pictures. It keeps no process alive.
 */
export class FeatureCache {
  readonly #maxBytes: number;
  readonly #maxAgeMs: number;
  /** The one used longest ago first. */
  readonly #entries = new Map<string, Entry>();
  readonly #encodings = new Map<string, Encoding>();
  /** What the embeddings in the cache take, and the keys and values beside them. */
  #embedsBytes = 0;
  #keyValuesBytes = 0;
  #hits = 0;
  #misses = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ maxBytes = 256 * 2 ** 20, maxAgeMs = 60_000 }: PictureCacheOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#maxAgeMs = maxAgeMs;
  }

  /** Returns what the pictures in the cache take, in bytes. */
  get bytes(): number {
    return this.#embedsBytes + this.#keyValuesBytes;
  }

  /** Counts how often a picture was there or was being encoded, how often not, and what is kept now. */
  get stats(): { hits: number; misses: number; pictures: number; bytes: number } {
    return { hits: this.#hits, misses: this.#misses, pictures: this.#entries.size, bytes: this.bytes };
  }

  /** Says whether a picture is there now, or is being encoded. */
  has(content: string): boolean {
    return this.#entries.has(content) || this.#encodings.has(content);
  }

  /**
   * Returns the picture of that content; where it is not there, what `encode` makes of it.
   * @param encode gets a signal that is aborted when nobody asks for the picture any more. A failure is not kept.
   * @returns it, for the caller to release, and whether it was there, or being encoded, already.
   * @throws NeuronBlipError `ABORTED`, as soon as the signal is; what `encode` throws.
   */
  async get(
    content: string,
    signal: AbortSignal | undefined,
    encode: (signal: AbortSignal) => Promise<ImageFeatures>,
  ): Promise<{ features: ImageFeatures; wasThere: boolean }> {
    for (;;) {
      throwIfAborted(signal);
      const entry = this.#entries.get(content);
      if (entry) {
        this.#hits++;
        const { features, usedAt } = entry;
        this.#entries.delete(content); // so that it goes behind the others
        this.#entries.set(content, { features, usedAt: performance.now(), usedBefore: usedAt });
        return { features: features.retain(), wasThere: true };
      }
      const joined = this.#encodings.get(content);
      if (joined) this.#hits++;
      else this.#misses++;
      const encoding = joined ?? this.#begin(content, encode);
      encoding.askers++;
      try {
        const features = await untilAborted(encoding.done, signal);
        return { features: features.retain(), wasThere: joined !== undefined };
      } catch (error) {
        throwIfAborted(signal);
        const ofThePicture = error instanceof NeuronBlipError && OF_THE_PICTURE.includes(error.code);
        // Another call's bad luck is its own.
        if (joined === undefined || ofThePicture) throw error;
      } finally {
        if (--encoding.askers === 0) {
          // Nobody asks for it any more: what was found stays with the cache and those who have it.
          if (this.#encodings.get(content) === encoding) {
            this.#encodings.delete(content);
            encoding.controller.abort();
          }
          encoding.done.then(
            (features) => features.release(),
            () => {},
          );
        }
      }
    }
  }

  /**
   * Says whether a picture's keys and values, of so many bytes, are worth keeping: where there is room for them, and where those
   * that would be evicted were asked for longer ago than this picture before its last use. Otherwise pictures that are asked for in
   * turns would only evict each other's.
   */
  wants(features: ImageFeatures, bytes: number): boolean {
    const entry = this.#entryOf(features);
    if (entry === undefined || bytes > this.#maxBytes / 2) return false;
    if (this.#keyValuesBytes + bytes <= this.#maxBytes / 2) return true;
    const [oldest] = this.#withKeyValues();
    return oldest !== undefined && oldest.usedAt < entry.usedBefore;
  }

  /** Makes room for the keys and values that a picture now has, and evicts others' where they are too many. */
  admitKeyValues(features: ImageFeatures): void {
    if (this.#entryOf(features) === undefined) return;
    this.#keyValuesBytes += bytesOf(features.keyValues?.value);
    for (const { features } of this.#withKeyValues()) {
      if (this.#keyValuesBytes <= this.#maxBytes / 2) break;
      this.#keyValuesBytes -= bytesOf(features.keyValues?.value);
      features.forgetKeyValues();
    }
    this.#makeRoom();
  }

  /** Releases everything. */
  dispose(): void {
    clearTimeout(this.#timer);
    for (const content of [...this.#entries.keys()]) this.#drop(content);
  }

  #begin(content: string, encode: (signal: AbortSignal) => Promise<ImageFeatures>): Encoding {
    const controller = new AbortController();
    const encoding: Encoding = { done: encode(controller.signal), controller, askers: 0 };
    this.#encodings.set(content, encoding);
    encoding.done.then(
      (features) => {
        if (this.#encodings.get(content) !== encoding) return; // nobody asks for it any more
        this.#encodings.delete(content);
        this.#embedsBytes += features.bytes;
        const usedAt = performance.now();
        this.#entries.set(content, { features: features.retain(), usedAt, usedBefore: Number.NEGATIVE_INFINITY });
        this.#makeRoom();
      },
      () => {
        if (this.#encodings.get(content) === encoding) this.#encodings.delete(content);
      },
    );
    return encoding;
  }

  #entryOf(features: ImageFeatures): Entry | undefined {
    return [...this.#entries.values()].find((entry) => entry.features === features);
  }

  /** Returns those with keys and values, the one used longest ago first. */
  #withKeyValues(): Entry[] {
    return [...this.#entries.values()].filter(({ features }) => features.keyValues);
  }

  #makeRoom(): void {
    const tooOld = performance.now() - this.#maxAgeMs;
    for (const [content, { usedAt }] of this.#entries) {
      if (this.#embedsBytes + this.#keyValuesBytes <= this.#maxBytes && usedAt > tooOld) break;
      this.#drop(content);
    }
    const [oldest] = this.#entries.values();
    clearTimeout(this.#timer);
    this.#timer = oldest && setTimeout(() => this.#makeRoom(), Math.max(1, oldest.usedAt - tooOld)).unref();
  }

  #drop(content: string): void {
    const entry = this.#entries.get(content);
    if (entry === undefined) return;
    this.#entries.delete(content);
    this.#embedsBytes -= entry.features.bytes;
    this.#keyValuesBytes -= bytesOf(entry.features.keyValues?.value);
    entry.features.release();
  }
}

/** Computes each picture's keys and values, one by one. */
const KEY_VALUES: Job<NeuronBlipPreTrainedModel, ImageFeatures, Tensor | undefined> = {
  key: "keys and values",
  kind: "keysValues",
  limit: 1,
  work: (model, rows, signal) =>
    Promise.all(rows.map(async ({ imageEmbeds }) => model.imageKeysValues?.(imageEmbeds, signal))),
  hold: (features) => {
    features.retain();
    return () => features.release();
  },
};

/**
 * Computes what the text encoder needs of a picture, whatever the question, once for all questions about it, where that pays; it is
 * kept with the picture's features.
 */
export class ImageKeyValues {
  readonly #queue: BatchQueue<NeuronBlipPreTrainedModel>;
  readonly #cache: FeatureCache | undefined;
  readonly #computing = new WeakMap<ImageFeatures, Promise<void>>();
  /** Whether the model has them: known once it was asked. */
  #exist = true;
  /** Of one picture; 0 until the first are there. */
  #bytes = 0;

  constructor(queue: BatchQueue<NeuronBlipPreTrainedModel>, cache: FeatureCache | undefined) {
    this.#queue = queue;
    this.#cache = cache;
  }

  /**
   * Computes them before texts about a picture, where those are many. Where that fails, the texts do without, or say why not.
   * @param lengths of the texts, in tokens.
   * @throws NeuronBlipError `ABORTED`.
   */
  async prepareFor(lengths: Iterable<number>, features: ImageFeatures, signal?: AbortSignal): Promise<void> {
    if (!this.#exist || features.keyValues || !keyValuesPay(lengths)) return;
    await this.compute(features, signal).catch(() => throwIfAborted(signal));
  }

  /** Computes them in the background for a picture that was asked about again: it may well be a third time. */
  prepareForMore(features: ImageFeatures): void {
    if (this.#cache?.wants(features, this.#bytes)) void this.compute(features).catch(() => {});
  }

  /**
   * Computes them, once for all that ask.
   * @throws NeuronBlipError `ABORTED`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  compute(features: ImageFeatures, signal?: AbortSignal): Promise<void> {
    if (!this.#exist || features.keyValues) return Promise.resolve();
    let computing = this.#computing.get(features);
    if (computing === undefined) {
      features.retain();
      computing = this.#run(features).finally(() => {
        this.#computing.delete(features);
        features.release();
      });
      this.#computing.set(features, computing);
    }
    return untilAborted(computing, signal);
  }

  async #run(features: ImageFeatures): Promise<void> {
    const [keyValues] = await this.#queue.run([features], KEY_VALUES);
    if (keyValues === undefined) {
      this.#exist = false;
      return;
    }
    this.#bytes = bytesOf(keyValues);
    features.keyValues = new RefCounted(keyValues);
    this.#cache?.admitKeyValues(features);
  }
}
