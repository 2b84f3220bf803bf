/** How many rows are packed together. */
const ROWS_OF_A_BLOCK = 256;

interface Block {
  /** The rows' ids, one row after another. */
  readonly ids: Int32Array;
  /** Where each row ends. */
  readonly ends: Int32Array;
}

/**
 * Rows of token ids, packed: 100,000 arrays would each be moved by the garbage collector, which holds the event loop meanwhile.
 * Ids are below 2^31.
 */
export class TokenIdRows {
  readonly #blocks: Block[] = [];
  #newest: (readonly number[])[] = [];

  push(ids: readonly number[]): void {
    this.#newest.push(ids);
    if (this.#newest.length < ROWS_OF_A_BLOCK) return;
    this.#blocks.push(packed(this.#newest));
    this.#newest = [];
  }

  /** A row's ids, in an array of their own. */
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
