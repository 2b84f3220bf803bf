/** How many pictures sharp decodes at a time, in all of the process. */
import { clearInterval, setInterval } from "node:timers";
import { types } from "node:util";
import { getEnvironmentData, setEnvironmentData } from "node:worker_threads";
import { abortedError, throwIfAborted } from "../errors.js";
import { onAbort } from "../runtime/abort.js";
import { SHARP_AT_A_TIME } from "./sharp-limits.js";

/** The name of the memory in which threads count together; a Worker inherits it from the thread that starts it. */
const KEY = "neuron-blip: places in sharp";
/** A place that is not renewed for so long is free again: its owner was a Worker that has been terminated. */
const LEASE_S = 30;
const RENEWED_EVERY_MS = 5000;
/** How often a thread that waits looks whether another has given a place back. */
const LOOKED_EVERY_MS = 10;

/** Gives a place back; calling it again does nothing. */
type Leave = () => void;

/** In seconds, for 68 years from 2020 on. */
const now = () => Math.floor(Date.now() / 1000) - 1_577_836_800;

/**
 * Places for work in sharp, SHARP_AT_A_TIME of them for this thread, the threads that it starts and those that started it: sharp
 * works in libuv's pool, which the process has once, and what it has begun cannot be interrupted.
 */
class SharpPlaces {
  /** For each place the second in which its lease ends; 0 where it is free. */
  readonly #leases: Int32Array;
  readonly #waiting: ((leave: Leave) => void)[] = [];
  #looking: NodeJS.Timeout | undefined;

  constructor(leases: Int32Array) {
    this.#leases = leases;
  }

  /** @returns undefined where no place is free, or others wait for one. */
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
      stop = onAbort(signal, () => {
        const at = this.#waiting.indexOf(enter);
        if (at >= 0) this.#waiting.splice(at, 1);
        this.#look();
        reject(abortedError(signal as AbortSignal));
      });
    });
  }

  #take(): Leave | undefined {
    const second = now();
    for (let i = 0; i < this.#leases.length; i++) {
      const ends = Atomics.load(this.#leases, i);
      if (ends > second || Atomics.compareExchange(this.#leases, i, ends, second + LEASE_S) !== ends) continue;
      return this.#leaveOf(i, second + LEASE_S);
    }
    return undefined;
  }

  #leaveOf(place: number, ends: number): Leave {
    let lease = ends;
    const renewing = setInterval(() => {
      const next = now() + LEASE_S;
      if (Atomics.compareExchange(this.#leases, place, lease, next) === lease) lease = next;
    }, RENEWED_EVERY_MS).unref();
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      clearInterval(renewing);
      Atomics.compareExchange(this.#leases, place, lease, 0);
      this.#look();
    };
  }

  /** Lets in those who wait, as far as there are places; looks again while any wait, which also keeps the process alive for them. */
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

function sharedLeases(): Int32Array {
  const inherited = getEnvironmentData(KEY);
  if (types.isSharedArrayBuffer(inherited)) return new Int32Array(inherited);
  const leases = new SharedArrayBuffer(4 * SHARP_AT_A_TIME);
  setEnvironmentData(KEY, leases);
  return new Int32Array(leases);
}

export const sharpPlaces = new SharpPlaces(sharedLeases());
