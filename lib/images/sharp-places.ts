/** How many pictures sharp decodes at a time, in all of the process. */
import { clearInterval, setInterval } from "node:timers";
import { abortedError, throwIfAborted } from "../errors.js";
import { type Native, native } from "../torch/native.js";
import { onAbort } from "../util/concurrency.js";
import { SHARP_AT_A_TIME } from "./sharp-limits.js";

/** How often a thread that waits looks whether another has released a place. */
const LOOKED_EVERY_MS = 10;

/** Releases a place; calling it again does nothing. */
export type Leave = () => void;

/**
 * Counts places by the addon, for all threads of the process. Where it does not load, pictures are decoded all the same, and each
 * thread counts.
 */
function countPlaces(): Pick<Native, "takeProcessPlace" | "leaveProcessPlace"> {
  try {
    return native();
  } catch {
    let taken = 0;
    return {
      takeProcessPlace: (limit) => {
        const isFree = taken < limit;
        if (isFree) taken++;
        return isFree;
      },
      leaveProcessPlace: () => void taken--,
    };
  }
}

/**
 * Places for work in sharp, SHARP_AT_A_TIME of them in the process: sharp works in libuv's pool, which the process has once, and what
 * it has begun cannot be interrupted.
 */
class SharpPlaces {
  #counter: ReturnType<typeof countPlaces> | undefined;
  readonly #waiting: ((leave: Leave) => void)[] = [];
  #looking: NodeJS.Timeout | undefined;

  /** Takes a place. @returns undefined where none is free, or others wait for one. */
  tryTake(): Leave | undefined {
    return this.#waiting.length > 0 ? undefined : this.#take();
  }

  /** Waits for a place. @throws NeuronBlipError `ABORTED` */
  async take(signal?: AbortSignal): Promise<Leave> {
    throwIfAborted(signal);
    const free = this.tryTake();
    if (free) return free;
    return new Promise<Leave>((resolve, reject) => {
      let stop = () => {};
      const enter = (leave: Leave) => {
        stop();
        resolve(leave);
      };
      this.#waiting.push(enter);
      this.#look();
      stop = onAbort(signal, (signal) => {
        const at = this.#waiting.indexOf(enter);
        if (at >= 0) this.#waiting.splice(at, 1);
        this.#look();
        reject(abortedError(signal));
      });
    });
  }

  #take(): Leave | undefined {
    this.#counter ??= countPlaces();
    const counter = this.#counter;
    if (!counter.takeProcessPlace(SHARP_AT_A_TIME)) return undefined;
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      counter.leaveProcessPlace();
      if (this.#waiting.length > 0) this.#look();
    };
  }

  /**
   * Gives places to those who wait, as far as there are any; looks again while any wait, which also keeps the process alive for
   * them.
   */
  #look(): void {
    while (this.#waiting.length > 0) {
      const leave = this.#take();
      if (leave === undefined) break;
      this.#waiting.shift()?.(leave);
    }
    if (this.#waiting.length > 0) this.#looking ??= setInterval(() => this.#look(), LOOKED_EVERY_MS);
    else {
      clearInterval(this.#looking);
      this.#looking = undefined;
    }
  }
}

export const sharpPlaces = new SharpPlaces();
