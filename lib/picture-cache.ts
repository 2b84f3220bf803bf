import { performance } from "node:perf_hooks";
import { clearTimeout, setTimeout } from "node:timers";
import { NeuronBlipError, throwIfAborted } from "./errors.js";
import type { LookedAt } from "./looked-at.js";
import { untilAborted } from "./runtime/abort.js";
import { Shared } from "./runtime/shared.js";

export interface PictureCacheOptions {
  /** The most native memory that pictures in the cache take, in bytes; their keys and values at most half of it. Default 256 MiB. */
  maxBytes?: number;
  /** How long a picture that nobody asks about is kept, in ms. Default 60,000. */
  maxAgeMs?: number;
}

interface Entry {
  readonly lookedAt: Shared<LookedAt>;
  /** What its embeddings, and its keys and values, were counted as. */
  bytes: number;
  keysValuesBytes: number;
  usedAt: number;
  usedBefore: number;
}

/** A picture that is being looked at, for all that ask for it meanwhile. */
interface Looking {
  readonly done: Promise<Shared<LookedAt>>;
  readonly controller: AbortController;
  askers: number;
}

/** Errors that say something of the picture, whoever asks. */
const OF_THE_PICTURE: readonly string[] = ["INVALID_IMAGE", "IMAGE_TOO_LARGE", "INVALID_INPUT"];

/**
 * Pictures that were looked at, by their content. Those that are asked for at the same time are looked at once; those asked for
 * longest ago make room for others. Keys and values, which are much larger and quicker to make, have half of the memory, so that
 * they do not drive pictures out. It keeps no process alive.
 */
export class PictureCache {
  readonly #maxBytes: number;
  readonly #maxAgeMs: number;
  /** The one used longest ago first. */
  readonly #entries = new Map<string, Entry>();
  readonly #looking = new Map<string, Looking>();
  #bytes = 0;
  #keysValuesBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ maxBytes = 256 * 2 ** 20, maxAgeMs = 60_000 }: PictureCacheOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#maxAgeMs = maxAgeMs;
  }

  /** What the pictures in the cache take, in bytes. */
  get bytes(): number {
    return this.#bytes + this.#keysValuesBytes;
  }

  /** Whether a picture is there now. */
  has(content: string): boolean {
    return this.#entries.has(content);
  }

  /**
   * The picture of that content; where it is not there, what `look` makes of it.
   * @param look gets a signal that is aborted when nobody asks for the picture any more. A failure is not kept.
   * @returns it, for the caller to release, and whether it was there, or being looked at, already.
   * @throws NeuronBlipError `ABORTED`, as soon as the signal is; what `look` throws.
   */
  async get(
    content: string,
    signal: AbortSignal | undefined,
    look: (signal: AbortSignal) => Promise<LookedAt>,
  ): Promise<{ lookedAt: Shared<LookedAt>; wasThere: boolean }> {
    for (;;) {
      throwIfAborted(signal);
      const entry = this.#entries.get(content);
      if (entry) {
        this.#touch(content, entry);
        return { lookedAt: entry.lookedAt.retain(), wasThere: true };
      }
      const joined = this.#looking.get(content);
      const looking = joined ?? this.#begin(content, look);
      looking.askers++;
      try {
        const lookedAt = await untilAborted(looking.done, signal);
        return { lookedAt: lookedAt.retain(), wasThere: joined !== undefined };
      } catch (error) {
        throwIfAborted(signal);
        const ofThePicture = error instanceof NeuronBlipError && OF_THE_PICTURE.includes(error.code);
        // Another call's bad luck is its own.
        if (joined === undefined || ofThePicture) throw error;
      } finally {
        if (--looking.askers === 0) this.#end(content, looking);
      }
    }
  }

  /**
   * Whether a picture's keys and values, of so many bytes, are worth keeping: where there is room for them, and where those that
   * would have to go were asked for longer ago than this picture before its last use. Otherwise pictures that are asked for
   * in turns would only drive out each other's.
   */
  wants(lookedAt: Shared<LookedAt>, bytes: number): boolean {
    const entry = this.#entryOf(lookedAt);
    if (entry === undefined || bytes > this.#maxBytes / 2) return false;
    if (this.#keysValuesBytes + bytes <= this.#maxBytes / 2) return true;
    const [oldest] = this.#withKeysValues();
    return oldest !== undefined && oldest.usedAt < entry.usedBefore;
  }

  /** Counts the keys and values that a picture has got, and lets go of others' where they are too many. */
  recount(lookedAt: Shared<LookedAt>): void {
    const entry = this.#entryOf(lookedAt);
    if (entry === undefined) return;
    this.#count(entry);
    for (const other of this.#withKeysValues()) {
      if (this.#keysValuesBytes <= this.#maxBytes / 2) break;
      other.lookedAt.value.forgetKeysValues();
      this.#count(other);
    }
    this.#makeRoom();
  }

  /** Lets go of everything. */
  dispose(): void {
    clearTimeout(this.#timer);
    for (const content of [...this.#entries.keys()]) this.#drop(content);
  }

  #begin(content: string, look: (signal: AbortSignal) => Promise<LookedAt>): Looking {
    const controller = new AbortController();
    const done = look(controller.signal).then((lookedAt) => new Shared(lookedAt));
    const looking: Looking = { done, controller, askers: 0 };
    this.#looking.set(content, looking);
    done.then(
      (lookedAt) => {
        if (this.#looking.get(content) !== looking) return;
        this.#looking.delete(content);
        const never = Number.NEGATIVE_INFINITY;
        const entry = { lookedAt: lookedAt.retain(), bytes: 0, keysValuesBytes: 0, usedAt: never, usedBefore: never };
        this.#count(entry);
        this.#touch(content, entry);
      },
      () => {
        if (this.#looking.get(content) === looking) this.#looking.delete(content);
      },
    );
    return looking;
  }

  /** When nobody asks for it any more: what was found stays with the cache and those who have it. */
  #end(content: string, looking: Looking): void {
    if (this.#looking.get(content) === looking) {
      this.#looking.delete(content);
      looking.controller.abort();
    }
    looking.done.then(
      (lookedAt) => lookedAt.release(),
      () => {},
    );
  }

  #touch(content: string, entry: Entry): void {
    entry.usedBefore = entry.usedAt;
    entry.usedAt = performance.now();
    this.#entries.delete(content);
    this.#entries.set(content, entry);
    this.#makeRoom();
  }

  #count(entry: Entry): void {
    const { bytes, keysValuesBytes } = entry.lookedAt.value;
    this.#bytes += bytes - entry.bytes;
    this.#keysValuesBytes += keysValuesBytes - entry.keysValuesBytes;
    entry.bytes = bytes;
    entry.keysValuesBytes = keysValuesBytes;
  }

  #entryOf(lookedAt: Shared<LookedAt>): Entry | undefined {
    return [...this.#entries.values()].find((entry) => entry.lookedAt === lookedAt);
  }

  /** The one used longest ago first. */
  #withKeysValues(): Entry[] {
    return [...this.#entries.values()].filter(({ keysValuesBytes }) => keysValuesBytes > 0);
  }

  #makeRoom(): void {
    const tooOld = performance.now() - this.#maxAgeMs;
    for (const [content, { usedAt }] of this.#entries) {
      if (this.bytes <= this.#maxBytes && usedAt > tooOld) break;
      this.#drop(content);
    }
    const [oldest] = this.#entries.values();
    clearTimeout(this.#timer);
    this.#timer = oldest && setTimeout(() => this.#makeRoom(), Math.max(1, oldest.usedAt - tooOld)).unref();
  }

  #drop(content: string): void {
    const entry = this.#entries.get(content) as Entry;
    this.#entries.delete(content);
    this.#bytes -= entry.bytes;
    this.#keysValuesBytes -= entry.keysValuesBytes;
    entry.lookedAt.release();
  }
}
