import { NeuronBlipError } from "../errors.js";
import { type ExecutorHandle, fromNative, native } from "../native.js";

export interface ExecutorOptions {
  /** How many cores libtorch may use for this executor's work. Default: libtorch's own choice, one per physical core. */
  threads?: number;
}

/**
 * A native thread on which modules are loaded and run, in the order of the calls; the event loop never waits for it.
 * Modules of one replica share an executor; replicas run side by side, each on its own.
 */
export class Executor implements AsyncDisposable {
  readonly handle: ExecutorHandle;
  #closed: Promise<void> | undefined;

  /** @throws NeuronBlipError `INVALID_INPUT`, or why the addon does not load. */
  constructor({ threads = 0 }: ExecutorOptions = {}) {
    if (!Number.isInteger(threads) || threads < 0 || threads > 4096) {
      throw new NeuronBlipError("INVALID_INPUT", `threads must be a whole number from 0 to 4096, not ${threads}.`);
    }
    const addon = native();
    try {
      this.handle = addon.createExecutor(threads);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Ends the thread when the work queued before is done. Later work is refused with `DISPOSED`. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= native()
      .closeExecutor(this.handle)
      .catch((error) => {
        throw fromNative(error);
      });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
