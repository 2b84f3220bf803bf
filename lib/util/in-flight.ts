import { NeuronBlipError } from "../errors.js";

/** Calls under way on an object that can be disposed: those begun are finished, those that come later are refused. */
export class InFlight {
  readonly #name: string;
  readonly #calls = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  /** @param name what the object is, for the error's message. */
  constructor(name: string) {
    this.#name = name;
  }

  /** @throws NeuronBlipError `DISPOSED` after `close`. */
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
