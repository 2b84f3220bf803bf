/** Work under way: counted, bounded, aborted, settled. */
import { setMaxListeners } from "node:events";
import { abortedError, NeuronBlipError, throwIfAborted } from "../errors.js";

/** Calls under way on an object that can be disposed: those begun are finished, those that come later are refused. */
export class InFlight {
  readonly #name: string;
  readonly #calls = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** @param name what the object is, for the error's message. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Runs a call. @throws NeuronBlipError `DISPOSED` after `close`. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed) {
      throw new NeuronBlipError("DISPOSED", `This ${this.#name} has been disposed. Load it again with fromPretrained.`);
    }
    const running = call();
    this.#calls.add(running);
    try {
      return await running;
    } finally {
      this.#calls.delete(running);
    }
  }

  /** Refuses further calls, waits for those under way, then releases; once, however often it is called. */
  close(release: () => Promise<void>): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#calls).then(release);
    return this.#closed;
  }
}

interface Waiting {
  readonly count: number;
  enter(): void;
}

/** Bounds work under way: so many permits, the first come first served. */
export class Semaphore {
  #permits: number;
  #free: number;
  readonly #waiting: Waiting[] = [];

  constructor(permits: number) {
    this.#permits = permits;
    this.#free = permits;
  }

  /** Changes how many permits there are, where each is taken by itself. What is held beyond them is not given out again. */
  resize(permits: number): void {
    this.#free += permits - this.#permits;
    this.#permits = permits;
    this.#admit();
  }

  /**
   * Takes permits, all at once, so that two who need several never wait for each other.
   * @param count more than there are count as all.
   * @returns what gives them back; calling it again does nothing.
   * @throws NeuronBlipError `ABORTED`.
   */
  async acquire(count = 1, signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    let held = Math.min(count, this.#permits);
    if (held > 0 && (this.#waiting.length > 0 || this.#free < held)) await this.#wait(held, signal);
    else this.#free -= held;
    return () => {
      this.#free += held;
      held = 0;
      this.#admit();
    };
  }

  async #wait(count: number, signal: AbortSignal | undefined): Promise<void> {
    let enter = () => {};
    const turn = new Promise<void>((resolve) => {
      enter = resolve;
    });
    const waiting = { count, enter };
    this.#waiting.push(waiting);
    try {
      await untilAborted(turn, signal);
    } catch (error) {
      const at = this.#waiting.indexOf(waiting);
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.#free += count; // its turn had come
      this.#admit(); // it may have been in the way of those behind it
      throw error;
    }
  }

  /** Lets in the first in line, as far as there are permits for them. */
  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.count <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.count;
      next.enter();
    }
  }
}

/**
 * Gives the value of a settled result.
 * @throws its reason, where it was rejected.
 */
export function fulfilled<T>(outcome: PromiseSettledResult<T> | undefined): T {
  if (outcome?.status === "fulfilled") return outcome.value;
  throw outcome?.reason;
}

/**
 * Calls back once when a signal is aborted, at once where it is already.
 * @returns what ends the waiting for it.
 */
export function onAbort(signal: AbortSignal | undefined, listener: (signal: AbortSignal) => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    listener(signal);
    return () => {};
  }
  const onEvent = () => listener(signal);
  try {
    setMaxListeners(0, signal); // one signal may be that of many calls, which Node 20 would warn about
  } catch {
    // A polyfill's, which does not count them.
  }
  signal.addEventListener("abort", onEvent, { once: true });
  return () => signal.removeEventListener("abort", onEvent);
}

/** Makes a signal that is aborted with either of two. Not AbortSignal.any, which takes Node's own alone. */
export function either(
  one: AbortSignal | undefined,
  other: { readonly signal: AbortSignal; abort(reason?: unknown): void },
): { signal: AbortSignal; stop: () => void } {
  const stop = onAbort(one, () => other.abort(one?.reason));
  return { signal: other.signal, stop };
}

/** Waits for work's outcome, or throws `ABORTED` as soon as the signal is aborted; the work goes on. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = onAbort(signal, (signal) => reject(abortedError(signal)));
    work.then(resolve, reject).finally(stop);
  });
}
