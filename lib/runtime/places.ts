import { throwIfAborted } from "../errors.js";
import { untilAborted } from "./abort.js";

/** So many places for work under way; more of it waits, the first come first served. */
export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /**
   * @returns what gives the place back; calling it again does nothing.
   * @throws NeuronBlipError `ABORTED`.
   */
  async take(signal?: AbortSignal): Promise<() => void> {
    throwIfAborted(signal);
    if (this.#free > 0) {
      this.#free--;
    } else {
      let enter = () => {};
      const turn = new Promise<void>((resolve) => {
        enter = resolve;
      });
      this.#waiting.push(enter);
      try {
        await untilAborted(turn, signal);
      } catch (error) {
        const at = this.#waiting.indexOf(enter);
        if (at >= 0) this.#waiting.splice(at, 1);
        else this.#next(); // its turn had come
        throw error;
      }
    }
    let taken = true;
    return () => {
      if (taken) this.#next();
      taken = false;
    };
  }

  #next(): void {
    const enter = this.#waiting.shift();
    if (enter) enter();
    else this.#free++;
  }
}
