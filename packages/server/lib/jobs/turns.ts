/** Which of the jobs in hand run, and when. */

/** A frame that a newer one of its camera has taken the place of. */
export const SUPERSEDED = Symbol("superseded");

export interface TurnOptions {
  /** Nothing else runs meanwhile: it may be what ended a process. */
  readonly alone: boolean;
  /** Of those that wait with the same key, the newest alone runs, in the place of the oldest. */
  readonly latestBy?: { readonly key: string; readonly timestamp: number };
}

interface Entry {
  alone: boolean;
  readonly key: string | undefined;
  timestamp: number;
  start(): void;
  supersede(): void;
}

/** Runs so many jobs at a time, first come, first served. */
export class Turns {
  readonly #slots: number;
  readonly #waiting: Entry[] = [];
  #running = 0;
  #isOneAlone = false;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** Runs work when its turn comes. @returns `SUPERSEDED` where a newer one of its key ran instead. */
  run<T>({ alone, latestBy }: TurnOptions, work: () => Promise<T>): Promise<T | typeof SUPERSEDED> {
    return new Promise((resolve, reject) => {
      const start = () => {
        this.#running++;
        this.#isOneAlone = alone;
        const end = () => {
          this.#running--;
          this.#isOneAlone = false;
          this.#startNext();
        };
        work().finally(end).then(resolve, reject);
      };
      const { key, timestamp = 0 } = latestBy ?? {};
      this.#add({ alone, key, timestamp, start, supersede: () => resolve(SUPERSEDED) });
    });
  }

  #add(entry: Entry): void {
    const at = entry.key === undefined ? -1 : this.#waiting.findIndex(({ key }) => key === entry.key);
    const there = this.#waiting[at];
    if (there === undefined) this.#waiting.push(entry);
    else if (there.timestamp > entry.timestamp) entry.supersede();
    else {
      // The turn stays where it is in the line, so that no key starves.
      this.#waiting[at] = entry;
      there.supersede();
    }
    this.#startNext();
  }

  #startNext(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const isFree = next.alone ? this.#running === 0 : this.#running < this.#slots && !this.#isOneAlone;
      if (!isFree) return;
      this.#waiting.shift();
      next.start();
    }
  }
}
