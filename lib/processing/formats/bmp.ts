import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";

/**
 * BMP: 1, 4, 8, 16, 24 and 32 bits, top-down or bottom-up, run-length encoded or with bit fields.
 *
 * Decoded here rather than by jimp, whose decoder ignores where the pixels begin and returns wrong pixels for run-length
 * encoded, 16-bit and odd-width 4-bit pictures.
 */
export const bmp: ImageCodec = { readHeader, decode };

const CORE_HEADER_SIZE = 12;
const RGB = 0;
const RLE8 = 1;
const RLE4 = 2;
const BIT_FIELDS = 3;
const ALPHA_BIT_FIELDS = 6;

interface BmpHeader extends ImageHeader {
  readonly topDown: boolean;
  readonly bits: number;
  readonly compression: number;
  /** Where the pixels begin. */
  readonly offset: number;
  /** RGB triples. */
  readonly palette: Buffer;
  /** Of red, green and blue, for 16 and 32 bits. */
  readonly masks: readonly [number, number, number];
}

function readHeader(file: Buffer): BmpHeader {
  const headerSize = file.readUInt32LE(14);
  const core = headerSize === CORE_HEADER_SIZE;
  if (!core && headerSize < 40) throw new Error(`its BMP header has an unknown size of ${headerSize} bytes`);
  const width = core ? file.readUInt16LE(18) : file.readInt32LE(18);
  const storedHeight = core ? file.readUInt16LE(20) : file.readInt32LE(22);
  const height = Math.abs(storedHeight);
  checkNotEmpty(width, height);
  const bits = file.readUInt16LE(core ? 24 : 28);
  const compression = core ? RGB : file.readUInt32LE(30);
  checkKind(bits, compression);

  let position = 14 + headerSize;
  let masks: [number, number, number] = bits === 16 ? [0x7c00, 0x03e0, 0x001f] : [0xff0000, 0x00ff00, 0x0000ff];
  if (compression === BIT_FIELDS || compression === ALPHA_BIT_FIELDS) {
    // Inside the header from version 2 on, else right behind it: the same place.
    masks = [file.readUInt32LE(54), file.readUInt32LE(58), file.readUInt32LE(62)];
    if (headerSize === 40) position += compression === BIT_FIELDS ? 12 : 16;
  }
  const palette = bits <= 8 ? readPalette(file, position, bits, core) : Buffer.alloc(0);
  const offset = file.readUInt32LE(10) || position + (palette.length / 3) * (core ? 3 : 4);
  return { width, height, orientation: 1, topDown: storedHeight < 0, bits, compression, offset, palette, masks };
}

function checkKind(bits: number, compression: number): void {
  const known =
    (compression === RGB && [1, 4, 8, 16, 24, 32].includes(bits)) ||
    ((compression === BIT_FIELDS || compression === ALPHA_BIT_FIELDS) && (bits === 16 || bits === 32)) ||
    (compression === RLE8 && bits === 8) ||
    (compression === RLE4 && bits === 4);
  if (!known) {
    throw new Error(
      `it is a kind of BMP that is not supported (${bits} bits per pixel, compression ${compression}); save it as a PNG`,
    );
  }
}

function readPalette(file: Buffer, position: number, bits: number, core: boolean): Buffer {
  const count = Math.min((core ? 0 : file.readUInt32LE(46)) || 2 ** bits, 256);
  const entrySize = core ? 3 : 4;
  const palette = Buffer.alloc(count * 3);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) palette[3 * i + c] = file.readUInt8(position + i * entrySize + 2 - c);
  }
  return palette;
}

async function decode(file: Buffer): Promise<Uint8Array> {
  const header = readHeader(file);
  const { width, height, topDown, bits, compression, offset } = header;
  const runLength = compression === RLE8 || compression === RLE4;
  const data = runLength ? expandRuns(file, header) : file.subarray(offset);
  const rowBits = runLength ? 8 : bits;
  const stride = runLength ? width : ((rowBits * width + 31) >>> 5) * 4;
  if (data.length < stride * (height - 1) + Math.ceil((rowBits * width) / 8)) throw new RangeError("too few pixels");

  const pixels = new Uint8Array(width * height * 4);
  const readRow = rowReader(header, rowBits);
  for (let y = 0; y < height; y++) {
    readRow(data, (topDown ? y : height - 1 - y) * stride, pixels, y * width * 4);
  }
  return pixels;
}

/** Reads the row at `from` to RGBA at `to`. */
type RowReader = (data: Buffer, from: number, pixels: Uint8Array, to: number) => void;

function rowReader({ width, palette, masks }: BmpHeader, bits: number): RowReader {
  if (bits <= 8) {
    const perByte = 8 / bits;
    const mask = 2 ** bits - 1;
    return (data, from, pixels, to) => {
      for (let x = 0; x < width; x++) {
        const byte = data[from + Math.floor(x / perByte)] as number;
        const index = (byte >> (8 - bits * ((x % perByte) + 1))) & mask;
        for (let c = 0; c < 3; c++) pixels[to + 4 * x + c] = palette[3 * index + c] ?? 0;
        pixels[to + 4 * x + 3] = 255;
      }
    };
  }
  if (bits === 24) {
    return (data, from, pixels, to) => {
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < 3; c++) pixels[to + 4 * x + c] = data[from + 3 * x + 2 - c] as number;
        pixels[to + 4 * x + 3] = 255;
      }
    };
  }
  const channels = masks.map(channelReader);
  return (data, from, pixels, to) => {
    for (let x = 0; x < width; x++) {
      const value = bits === 16 ? data.readUInt16LE(from + 2 * x) : data.readUInt32LE(from + 4 * x);
      for (let c = 0; c < 3; c++) pixels[to + 4 * x + c] = (channels[c] as (value: number) => number)(value);
      pixels[to + 4 * x + 3] = 255;
    }
  };
}

/** Takes the bits of a mask and stretches them to 8, rounding down as Pillow does. */
function channelReader(mask: number): (value: number) => number {
  if (mask === 0) return () => 0;
  const shift = 31 - Math.clz32(mask & -mask);
  const most = mask >>> shift;
  return (value) => Math.floor((((value & mask) >>> shift) * 255) / most);
}

/** Expands run-length encoded rows to one palette index per byte, rows as they are stored; what is skipped stays 0. */
function expandRuns(file: Buffer, { width, height, compression, offset }: BmpHeader): Buffer {
  const indices = Buffer.alloc(width * height);
  let position = offset;
  let x = 0;
  let y = 0;
  const put = (index: number) => {
    if (x < width && y < height) indices[y * width + x] = index;
    x++;
  };
  const nibble = (byte: number, i: number) => (i % 2 === 0 ? byte >> 4 : byte & 15);
  while (y < height) {
    const count = file.readUInt8(position++);
    const value = file.readUInt8(position++);
    if (count > 0) {
      for (let i = 0; i < count; i++) put(compression === RLE4 ? nibble(value, i) : value);
    } else if (value === 0) {
      x = 0;
      y++;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      x += file.readUInt8(position++);
      y += file.readUInt8(position++);
    } else {
      const start = position;
      for (let i = 0; i < value; i++) {
        put(compression === RLE4 ? nibble(file.readUInt8(start + (i >> 1)), i) : file.readUInt8(start + i));
      }
      const length = compression === RLE4 ? (value + 1) >> 1 : value;
      position += length + (length % 2); // runs are filled up to 16 bits
    }
  }
  return indices;
}
