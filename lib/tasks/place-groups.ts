/**
 * Places of a list, grouped by what stands there. Each group is a chain in typed arrays: 100,000 lists would each be moved by the
 * garbage collector, which holds the event loop meanwhile.
 */
export class PlaceGroups<T> {
  /** The first place of each group. */
  readonly #firsts = new Map<T, number>();
  /** Of a place, the next of its group; 0, which is never the next, where there is none. */
  readonly #next: Int32Array;
  /** Of a group's first place, its last. */
  readonly #last: Int32Array;

  /** Of a group's first place, how many there are. */
  readonly #counts: Int32Array;

  /** @param count of the list. */
  constructor(count: number) {
    this.#next = new Int32Array(count);
    this.#last = new Int32Array(count);
    this.#counts = new Int32Array(count);
  }

  /** Adds a place; they come in increasing order. */
  add(item: T, place: number): void {
    const first = this.#firsts.get(item) ?? place;
    if (first === place) this.#firsts.set(item, place);
    else this.#next[this.#last[first] as number] = place;
    this.#last[first] = place;
    this.#counts[first] = this.countFrom(first) + 1;
  }

  /** Each item with the first of its places, in the order of those. */
  entries(): IterableIterator<[item: T, first: number]> {
    return this.#firsts.entries();
  }

  /** The places of a group. @param first of them. */
  *placesFrom(first: number): Generator<number, void> {
    yield first;
    for (let place = this.#next[first] as number; place > 0; place = this.#next[place] as number) yield place;
  }

  /** How many places the group has. @param first of them. */
  countFrom(first: number): number {
    return this.#counts[first] as number;
  }
}
