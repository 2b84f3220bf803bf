import type { GifFrame } from "./gif-blocks.js";

const MOST_CODE_BITS = 12;
const TABLE_SIZE = 1 << MOST_CODE_BITS;

/**
 * Expands the codes of a frame to an index a pixel, in the order in which they are stored. It stops behind the last pixel, and each
 * code adds one at least: damaged codes cannot hold it.
 * @throws Error, RangeError where Pillow refuses: a code that is not in the table yet, too few pixels
 */
export function expandCodes(file: Buffer, { codeBits, start, width, height }: GifFrame): Uint8Array {
  if (codeBits > MOST_CODE_BITS) throw new Error(`its GIF codes have ${codeBits} bits`);
  const pixels = new Uint8Array(width * height);
  const codes = new CodeReader(file, start);
  const clear = 1 << codeBits;
  const end = clear + 1;
  // Of each string its last index, its length, and the string before it.
  const indices = new Uint8Array(TABLE_SIZE);
  const lengths = new Uint16Array(TABLE_SIZE).fill(1, 0, clear);
  const prefixes = new Uint16Array(TABLE_SIZE);
  let size = codeBits + 1;
  let next = clear + 2;
  let previous = -1;
  for (let at = 0; at < pixels.length; ) {
    const code = codes.read(size);
    if (code === clear) {
      size = codeBits + 1;
      next = clear + 2;
      previous = -1;
      continue;
    }
    if (code === end) throw new RangeError("the GIF's codes end too early");
    if (code > (previous < 0 ? clear : next)) throw damaged();
    // The code that comes next in the table is the string before it and its first index.
    const isNext = previous >= 0 && code === next;
    let link = isNext ? previous : code;
    if (link >= TABLE_SIZE) throw damaged();
    const length = lengths[link] ?? 0;
    let to = at + length;
    while (link >= clear) {
      // What is beyond the last pixel is not kept.
      pixels[--to] = indices[link] ?? 0;
      link = prefixes[link] ?? 0;
    }
    pixels[at] = link;
    if (isNext) pixels[at + length] = link;
    at += isNext ? length + 1 : length;
    if (previous >= 0 && next < TABLE_SIZE) {
      indices[next] = link;
      lengths[next] = (lengths[previous] ?? 0) + 1;
      prefixes[next] = previous;
      if (next === (1 << size) - 1 && size < MOST_CODE_BITS) size++;
      next++;
    }
    previous = code;
  }
  return pixels;
}

function damaged(): Error {
  return new Error("its GIF data is damaged (a code that is not in the table)");
}

/** Reads codes from blocks. Empty blocks do not end them, as with Pillow. */
class CodeReader {
  readonly #file: Buffer;
  #at: number;
  #left = 0;
  #bits = 0;
  #count = 0;

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.#at = at;
  }

  read(size: number): number {
    while (this.#count < size) {
      if (this.#left === 0) {
        this.#left = this.#file.readUInt8(this.#at++);
        if (this.#at + this.#left > this.#file.length) throw new RangeError("the GIF ends in a block");
        continue;
      }
      this.#bits |= (this.#file[this.#at++] ?? 0) << this.#count;
      this.#count += 8;
      this.#left--;
    }
    const code = this.#bits & ((1 << size) - 1);
    this.#bits >>>= size;
    this.#count -= size;
    return code;
  }
}
