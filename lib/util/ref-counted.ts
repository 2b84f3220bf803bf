/** Something with several users, disposed when the last one has let go of it. Whoever makes it is its first user. */
export class RefCounted<T extends { dispose(): void }> {
  readonly value: T;
  #users = 1;

  constructor(value: T) {
    this.value = value;
  }

  /** Adds a user. */
  retain(): this {
    this.#users++;
    return this;
  }

  /** Takes a user away: once for each `retain`, and once for the first. */
  release(): void {
    if (--this.#users === 0) this.value.dispose();
  }
}
