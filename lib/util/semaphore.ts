import { throwIfAborted } from "../errors.js";
import { untilAborted } from "./abort.js";

interface Waiting {
  readonly count: number;
  enter(): void;
}

/** Bounds work under way: so many permits, the first come first served. */
export class Semaphore {
  readonly #permits: number;
  #free: number;
  readonly #waiting: Waiting[] = [];

  constructor(permits: number) {
    this.#permits = permits;
    this.#free = permits;
  }

  /**
   * Takes permits, all at once, so that two who need several never wait for each other.
   * @param count more than there are count as all.
   * @returns what gives them back; calling it again does nothing.
   * @throws NeuronBlipError `ABORTED`.
   */
  async acquire(count = 1, signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    const taken = Math.min(count, this.#permits);
    if (this.#waiting.length > 0 || this.#free < taken) await this.#wait(taken, signal);
    else this.#free -= taken;
    let held = true;
    return () => {
      if (held) this.#giveBack(taken);
      held = false;
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
      if (at >= 0) {
        this.#waiting.splice(at, 1);
        this.#admit(); // it may have been in the way of those behind it
      } else {
        this.#giveBack(count); // its turn had come
      }
      throw error;
    }
  }

  #giveBack(count: number): void {
    this.#free += count;
    this.#admit();
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.count <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#free -= next.count;
      next.enter();
    }
  }
}
