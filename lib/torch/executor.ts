import { NeuronBlipError, readOptions } from "../errors.js";
import { itemAt } from "../util/item-at.js";
import { shown } from "../util/values.js";
import { type ExecutorHandle, fromNative, native } from "./native.js";

export interface ExecutorOptions {
  /** How many cores libtorch may use for this executor's work. Default: libtorch's own choice, one per physical core. */
  threads?: number;
  /**
   * How many calls may run at once, each on a native thread of its own. Default 1: calls run in their order. More serve
   * devices that overlap one call's transfers with another's work.
   */
  concurrency?: number;
}

/** One native thread, and how many calls it has in hand. */
interface Lane {
  readonly handle: ExecutorHandle;
  busy: number;
}

/**
 * The native threads on which modules are loaded and run; the event loop never waits for them. Modules of one replica share
 * an executor; replicas run side by side, each on its own.
 */
export class Executor implements AsyncDisposable {
  readonly #lanes: Lane[];
  readonly #threads: number;
  #closed: Promise<void> | undefined;

  /** @throws NeuronBlipError `INVALID_INPUT`, or why the addon does not load. */
  constructor(options: ExecutorOptions = {}) {
    const { threads = 0, concurrency = 1 } = readOptions(options, "Executor");
    checkCount("threads", threads, 0, 4096);
    checkCount("concurrency", concurrency, 1, 64);
    this.#threads = threads;
    this.#lanes = [];
    this.grow(concurrency);
  }

  /** Lets as many calls run at once, where fewer could. For this package's own use. */
  grow(concurrency: number): void {
    const addon = native();
    try {
      while (this.#lanes.length < concurrency) {
        this.#lanes.push({ handle: addon.createExecutor(this.#threads), busy: 0 });
      }
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Returns the thread that modules are loaded and freed on. */
  get handle(): ExecutorHandle {
    return itemAt(this.#lanes, 0).handle;
  }

  /** Tells whether `close` was called. */
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Runs a native call on the thread with the least in hand. For this package's own use. */
  async run<T>(call: (handle: ExecutorHandle) => Promise<T>): Promise<T> {
    const lane = this.#lanes.reduce((least, other) => (other.busy < least.busy ? other : least));
    lane.busy++;
    try {
      return await call(lane.handle);
    } finally {
      lane.busy--;
    }
  }

  /**
   * Gives the freed memory that libtorch and malloc keep for later calls back to the system, after the calls made before: what loading
   * a model leaves. For this package's own use.
   */
  async returnFreedMemory(): Promise<void> {
    try {
      await native().returnFreedMemory(this.handle);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Ends the threads when the work queued before is done. Later work is refused with `DISPOSED`. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#lanes.map(({ handle }) => native().closeExecutor(handle))).then(
      () => {},
      (error) => {
        throw fromNative(error);
      },
    );
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export function checkCount(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} must be a whole number from ${least} to ${most}, not ${shown(value)}.`,
    );
  }
}
