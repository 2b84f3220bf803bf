/**
 * Reads a WebP lossless stream (VP8L) as far as the image that says which group of Huffman codes each part of the picture uses: a few
 * bits there make libwebp build thousands of tables.
 */

/** How many symbols there are: of green (with lengths), of red, blue and alpha, of distances. */
const GREENS = 256 + 24;
const LEVELS = 256;
const DISTANCES = 40;
const LENGTH_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] as const;
const REPEATS = [
  { bits: 2, least: 3 },
  { bits: 3, least: 3 },
  { bits: 7, least: 11 },
] as const;
const COLOR_INDEXING = 3;
const SUBTRACT_GREEN = 2;
const LONGEST_CODE = 15;

/**
 * Counts the groups of Huffman codes that libwebp reads for a picture.
 * @param data behind the header that states the size
 * @throws RangeError where the data ends too early or is damaged
 */
export function huffmanGroups(data: Buffer, width: number, height: number): number {
  const reader = new BitReader(data);
  let columns = width;
  while (reader.bits(1)) {
    const type = reader.bits(2);
    if (type === SUBTRACT_GREEN) continue;
    if (type === COLOR_INDEXING) {
      const colors = reader.bits(8) + 1;
      readImage(reader, colors, 1);
      columns = Math.ceil(columns / (colors <= 2 ? 8 : colors <= 4 ? 4 : colors <= 16 ? 2 : 1));
    } else {
      const size = 2 ** (2 + reader.bits(3));
      readImage(reader, Math.ceil(columns / size), Math.ceil(height / size));
    }
  }
  if (reader.bits(1)) reader.bits(4);
  if (!reader.bits(1)) return 1;
  const size = 2 ** (2 + reader.bits(3));
  return 1 + readImage(reader, Math.ceil(columns / size), Math.ceil(height / size));
}

/** Reads an image inside the stream. @returns the largest number that red and green make, of all pixels */
function readImage(reader: BitReader, width: number, height: number): number {
  const cached = reader.bits(1) ? 2 ** reader.bits(4) : 0;
  const green = readCode(reader, GREENS + cached);
  const red = readCode(reader, LEVELS);
  const blue = readCode(reader, LEVELS);
  const alpha = readCode(reader, LEVELS);
  const distance = readCode(reader, DISTANCES);
  // Pixels that take no bits are all the same.
  const isPlain = [green, red, blue, alpha].every(({ takesNoBits }) => takesNoBits);
  if (isPlain && green.read(reader) < 256) return red.read(reader) * 256 + green.read(reader);
  let largest = 0;
  for (let left = width * height; left > 0; ) {
    const symbol = green.read(reader);
    left--;
    if (symbol < 256) {
      largest = Math.max(largest, red.read(reader) * 256 + symbol);
      blue.read(reader);
      alpha.read(reader);
    } else if (symbol < 256 + 24) {
      // Copies of pixels before, as those of the cache, are not larger.
      left -= prefixed(reader, symbol - 256) - 1;
      prefixed(reader, distance.read(reader));
    }
  }
  return largest;
}

/** Reads a length or distance: its first bits in the symbol, the others behind. */
function prefixed(reader: BitReader, symbol: number): number {
  if (symbol < 4) return symbol + 1;
  const extra = (symbol - 2) >> 1;
  return (2 + (symbol & 1)) * 2 ** extra + reader.bits(extra) + 1;
}

function readCode(reader: BitReader, alphabet: number): HuffmanCode {
  const lengths = new Uint8Array(alphabet);
  if (reader.bits(1)) {
    const two = reader.bits(1);
    lengths[reader.bits(reader.bits(1) ? 8 : 1)] = 1;
    if (two) lengths[reader.bits(8)] = 1;
    return new HuffmanCode(lengths);
  }
  const ofLengths = new Uint8Array(LENGTH_ORDER.length);
  const count = reader.bits(4) + 4;
  for (const symbol of LENGTH_ORDER.slice(0, count)) ofLengths[symbol] = reader.bits(3);
  const code = new HuffmanCode(ofLengths);
  let left = reader.bits(1) ? 2 + reader.bits(2 + 2 * reader.bits(3)) : alphabet;
  let previous = 8;
  for (let symbol = 0; symbol < alphabet && left > 0; left--) {
    const length = code.read(reader);
    if (length <= LONGEST_CODE) {
      lengths[symbol++] = length;
      if (length > 0) previous = length;
      continue;
    }
    const repeat = REPEATS[length - 16];
    if (repeat === undefined) throw new RangeError("a length of a code that there is not");
    const end = symbol + reader.bits(repeat.bits) + repeat.least;
    lengths.fill(length === 16 ? previous : 0, symbol, end);
    symbol = end;
  }
  return new HuffmanCode(lengths);
}

/** A canonical code; of a single symbol it takes no bits. */
class HuffmanCode {
  /** How many codes there are of each length. */
  readonly #counts = new Uint16Array(LONGEST_CODE + 1);
  readonly #symbols: Uint16Array;

  constructor(lengths: Uint8Array) {
    for (const length of lengths) this.#counts[length] = (this.#counts[length] ?? 0) + 1;
    this.#counts[0] = 0;
    const ends = new Uint16Array(LONGEST_CODE + 2);
    for (let length = 1; length <= LONGEST_CODE; length++) {
      ends[length + 1] = (ends[length] ?? 0) + (this.#counts[length] ?? 0);
    }
    this.#symbols = new Uint16Array(ends[LONGEST_CODE + 1] ?? 0);
    for (const [symbol, length] of lengths.entries()) {
      if (length === 0) continue;
      const place = ends[length] ?? 0;
      this.#symbols[place] = symbol;
      ends[length] = place + 1;
    }
  }

  get takesNoBits(): boolean {
    return this.#symbols.length === 1;
  }

  read(reader: BitReader): number {
    if (this.takesNoBits) return this.#symbols[0] ?? 0;
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= LONGEST_CODE; length++) {
      code += reader.bits(1);
      const count = this.#counts[length] ?? 0;
      if (code - first < count) return this.#symbols[index + code - first] ?? 0;
      index += count;
      first = (first + count) * 2;
      code *= 2;
    }
    throw new RangeError("a code that is not in the table");
  }
}

/** Reads bits from the lowest of each byte on. */
class BitReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  bits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++) {
      const byte = this.#data[this.#at >> 3];
      if (byte === undefined) throw new RangeError("the data ends too early");
      value += ((byte >> (this.#at & 7)) & 1) * 2 ** i;
    }
    return value;
  }
}
