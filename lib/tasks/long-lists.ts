/** Lists of 100,000 items in typed arrays: so many objects the garbage collector would each move, holding the event loop meanwhile. */

/** Indices of a list, grouped by what stands there: each group is a chain. */
export class IndexGroups<T> {
  /** The first index of each group. */
  readonly #firsts = new Map<T, number>();
  /** Of an index, the next of its group; 0, which is never the next, where there is none. */
  readonly #next: Int32Array;
  /** Of a group's first index, its last. */
  readonly #last: Int32Array;

  /** @param length of the list. */
  constructor(length: number) {
    this.#next = new Int32Array(length);
    this.#last = new Int32Array(length);
  }

  /** Adds an index; they come in increasing order. */
  add(item: T, index: number): void {
    const first = this.#firsts.get(item);
    if (first === undefined) this.#firsts.set(item, index);
    else this.#next[this.#last[first] ?? first] = index;
    this.#last[first ?? index] = index;
  }

  /** Gives each item with the first of its indices, in the order of those. */
  entries(): IterableIterator<[item: T, first: number]> {
    return this.#firsts.entries();
  }

  /** Gives the indices of a group. @param first of them. */
  *indicesFrom(first: number): Generator<number, void> {
    yield first;
    for (let index = this.#next[first]; index; index = this.#next[index]) yield index;
  }
}

/** How many rows are packed together. */
const ROWS_OF_A_BLOCK = 256;

interface Block {
  /** The rows' ids, one row after another. */
  readonly ids: Int32Array;
  /** Where each row ends. */
  readonly ends: Int32Array;
}

/** Rows of token ids, packed. Ids are below 2^31. */
export class TokenIdRows {
  readonly #blocks: Block[] = [];
  #newest: (readonly number[])[] = [];

  push(ids: readonly number[]): void {
    this.#newest.push(ids);
    if (this.#newest.length < ROWS_OF_A_BLOCK) return;
    this.#blocks.push(packed(this.#newest));
    this.#newest = [];
  }

  /** Copies a row's ids into an array of their own. */
  at(row: number): readonly number[] {
    const block = this.#blocks[Math.floor(row / ROWS_OF_A_BLOCK)];
    const i = row % ROWS_OF_A_BLOCK;
    if (block === undefined) return this.#newest[i] ?? [];
    return Array.from(block.ids.subarray(i === 0 ? 0 : block.ends[i - 1], block.ends[i]));
  }
}

function packed(rows: readonly (readonly number[])[]): Block {
  const ends = new Int32Array(rows.length);
  let end = 0;
  for (const [i, row] of rows.entries()) {
    end += row.length;
    ends[i] = end;
  }
  const ids = new Int32Array(end);
  for (const [i, row] of rows.entries()) ids.set(row, i === 0 ? 0 : ends[i - 1]);
  return { ids, ends };
}
