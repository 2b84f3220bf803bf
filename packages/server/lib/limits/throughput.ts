/** What is counted together. */
const WINDOW_MS = 10_000;

/** How many requests end in a second, of late. */
export class Throughput {
  #windowBegan: number;
  #count = 0;
  #last = 0;

  constructor(now: number) {
    this.#windowBegan = now;
  }

  add(now: number): void {
    this.#turn(now);
    this.#count++;
  }

  perSecond(now: number): number {
    this.#turn(now);
    const elapsed = now - this.#windowBegan;
    return (this.#last + this.#count) / ((WINDOW_MS + elapsed) / 1000);
  }

  #turn(now: number): void {
    const windows = Math.floor((now - this.#windowBegan) / WINDOW_MS);
    if (windows === 0) return;
    this.#last = windows === 1 ? this.#count : 0;
    this.#count = 0;
    this.#windowBegan += windows * WINDOW_MS;
  }
}

/** Estimates when to try again, in s: as long as those that wait will take, from 1 to 30. */
export function retryAfterSeconds(waiting: number, perSecond: number): number {
  const seconds = perSecond > 0 ? waiting / perSecond : waiting > 0 ? 30 : 1;
  return Math.min(30, Math.max(1, Math.ceil(seconds)));
}
