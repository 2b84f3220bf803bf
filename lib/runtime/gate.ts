/** Opens when all that it waits for have passed by. */
export class Gate {
  readonly size: number;
  readonly opened: Promise<void>;
  #open = () => {};
  #missing: number;

  constructor(size: number) {
    this.size = size;
    this.#missing = size;
    this.opened = new Promise((resolve) => {
      this.#open = resolve;
    });
    if (size === 0) this.#open();
  }

  /** @returns what says that one has passed; calling it again does nothing. */
  pass(): () => void {
    let passed = false;
    return () => {
      if (!passed && --this.#missing === 0) this.#open();
      passed = true;
    };
  }
}
