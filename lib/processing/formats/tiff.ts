import { inflateSync } from "node:zlib";
import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";
import { TiffReader, validOrientation } from "./exif.js";
import { jpeg } from "./jpeg.js";

/**
 * TIFF: the first page, of 1, 2, 4, 8 or 16 bits per sample, grayscale, palette, RGB(A) or YCbCr in JPEG, in strips or
 * tiles; uncompressed, LZW, JPEG, Deflate or PackBits.
 *
 * jimp's decoder (UTIF) decodes every page, follows links of the file in circles, returns garbage for kinds that it does not
 * know, and runs wild on damaged fax data. It is therefore given a directory of its own: the first one's image entries,
 * checked.
 */
export const tiff: ImageCodec = { readHeader, decode };

const Tag = {
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  orientation: 274,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  planarConfiguration: 284,
  predictor: 317,
  colorMap: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
  extraSamples: 338,
  sampleFormat: 339,
  jpegTables: 347,
  yCbCrSubsampling: 530,
} as const;
const IMAGE_TAGS = new Set<number>(Object.values(Tag));

const Compression = { none: 1, lzw: 5, jpeg: 7, deflate: 8, oldDeflate: 32946, packBits: 32773 };
const COMPRESSIONS = new Set(Object.values(Compression));
const Photometric = { whiteIsZero: 0, blackIsZero: 1, rgb: 2, palette: 3, yCbCr: 6 };
/** Bits per sample that jimp decodes for each colour model. */
const DECODABLE_BITS: Record<number, number[]> = {
  [Photometric.whiteIsZero]: [1, 4, 8, 16],
  [Photometric.blackIsZero]: [1, 2, 8, 16],
  [Photometric.rgb]: [8, 16],
  [Photometric.palette]: [1, 2, 4, 8],
  [Photometric.yCbCr]: [8],
};

const TYPE_SIZES: Record<number, number> = { 1: 1, 3: 2, 4: 4, 7: 1 };
const ENTRY_SIZE = 12;

interface Entry {
  readonly tag: number;
  readonly type: number;
  readonly count: number;
  /** The entry's own 12 bytes. */
  readonly bytes: Buffer;
  /** Where its values are. */
  readonly position: number;
}

/** The first directory's image entries. */
class Page {
  readonly entries = new Map<number, Entry>();
  readonly #reader: TiffReader;

  constructor(file: Buffer) {
    this.#reader = new TiffReader(file);
    if (this.#reader.uint16(2) !== 42) throw new Error("it is a BigTIFF, which is not supported; save it as a PNG");
    const directory = this.#reader.uint32(4);
    const count = this.#reader.uint16(directory);
    for (let i = 0; i < count; i++) {
      const at = directory + 2 + ENTRY_SIZE * i;
      const tag = this.#reader.uint16(at);
      if (IMAGE_TAGS.has(tag)) this.entries.set(tag, this.#readEntry(file, tag, at));
    }
  }

  #readEntry(file: Buffer, tag: number, at: number): Entry {
    const type = this.#reader.uint16(at + 2);
    const count = this.#reader.uint32(at + 4);
    const size = (TYPE_SIZES[type] ?? 0) * count;
    if (size === 0) throw new Error(`its TIFF tag ${tag} is damaged`);
    const position = size <= 4 ? at + 8 : this.#reader.uint32(at + 8);
    if (position + size > file.length) throw new RangeError(`TIFF tag ${tag} reaches beyond the file`);
    return { tag, type, count, bytes: file.subarray(at, at + ENTRY_SIZE), position };
  }

  /** All values of a tag; none where it is absent. */
  values(tag: number): number[] {
    const entry = this.entries.get(tag);
    if (!entry) return [];
    const { type, count, position } = entry;
    return Array.from({ length: count }, (_, i) => {
      if (type === 3) return this.#reader.uint16(position + 2 * i);
      if (type === 4) return this.#reader.uint32(position + 4 * i);
      return this.#reader.data.readUInt8(position + i);
    });
  }

  value(tag: number, absent: number): number {
    return this.values(tag)[0] ?? absent;
  }
}

function readHeader(file: Buffer): ImageHeader {
  const page = new Page(file);
  const width = page.value(Tag.width, 0);
  const height = page.value(Tag.height, 0);
  checkNotEmpty(width, height);
  return { width, height, orientation: validOrientation(page.value(Tag.orientation, 1)) };
}

async function decode(file: Buffer, header: ImageHeader, maxPixels: number): Promise<Uint8Array> {
  const { default: jimpTiff } = await import("@jimp/js-tiff");
  const page = new Page(file);
  checkKind(page);
  checkPixelData(file, page, header, maxPixels);
  return jimpTiff().decode(withOnlyPage(file, page)).data;
}

function checkKind(page: Page): void {
  const bits = page.values(Tag.bitsPerSample);
  const depth = bits[0] ?? 1;
  const compression = page.value(Tag.compression, Compression.none);
  const photometric = page.value(Tag.photometric, -1);
  const samples = page.value(Tag.samplesPerPixel, 1);
  const format = page.value(Tag.sampleFormat, 1);
  const gray = photometric === Photometric.whiteIsZero || photometric === Photometric.blackIsZero;
  const faults = [
    !COMPRESSIONS.has(compression) && `compression ${compression}`,
    !(photometric in DECODABLE_BITS) && `photometric interpretation ${photometric}`,
    photometric === Photometric.yCbCr && compression !== Compression.jpeg && "YCbCr without JPEG",
    (bits.some((other) => other !== depth) || DECODABLE_BITS[photometric]?.includes(depth) === false) &&
      `${bits.join(", ")} bits per sample`,
    format !== 1 && `sample format ${format}`,
    samples > 1 && page.value(Tag.planarConfiguration, 1) === 2 && "separate colour planes",
    photometric === Photometric.rgb && (samples < 3 || (depth === 16 && samples > 4)) && `${samples} samples per pixel`,
    gray && samples > 1 && (depth !== 8 || photometric === Photometric.whiteIsZero) && `${samples} samples per pixel`,
  ].filter((fault) => fault !== false);
  if (faults.length > 0) {
    throw new Error(`it is a kind of TIFF that is not supported (${faults.join("; ")}); save it as a PNG`);
  }
}

/** Checks that each strip or tile is inside the file, and that none inflates beyond its size. */
function checkPixelData(file: Buffer, page: Page, { width, height }: ImageHeader, maxPixels: number): void {
  const tiled = page.entries.has(Tag.tileWidth);
  const offsets = page.values(tiled ? Tag.tileOffsets : Tag.stripOffsets);
  const lengths = page.values(tiled ? Tag.tileByteCounts : Tag.stripByteCounts);
  const blockWidth = tiled ? page.value(Tag.tileWidth, 0) : width;
  const blockHeight = tiled
    ? page.value(Tag.tileHeight, 0)
    : Math.min(page.value(Tag.rowsPerStrip, height) || height, height);
  checkNotEmpty(blockWidth, blockHeight);
  // A tile may be larger than the picture, but not by more than its own alignment.
  if (blockWidth * blockHeight > Math.max(maxPixels, 2 ** 20)) throw new Error("its TIFF tiles are too large");
  const rows = Math.ceil(height / blockHeight);
  const count = rows * Math.ceil(width / blockWidth);
  if (offsets.length < count || lengths.length < count) throw new RangeError("too few strips or tiles");

  const compression = page.value(Tag.compression, Compression.none);
  const bitsPerPixel = page.value(Tag.bitsPerSample, 1) * page.value(Tag.samplesPerPixel, 1);
  const rowSize = Math.ceil((blockWidth * bitsPerPixel) / 8);
  for (let i = 0; i < count; i++) {
    const offset = offsets[i] as number;
    const length = lengths[i] as number;
    if (offset + length > file.length) throw new RangeError(`the pixels at ${offset} reach beyond the file`);
    const last = !tiled && i === count - 1;
    const expected = rowSize * (last ? height - blockHeight * (rows - 1) : blockHeight);
    const data = file.subarray(offset, offset + length);
    if (compression === Compression.none && length < expected) throw new RangeError("too few pixels");
    if (compression === Compression.deflate || compression === Compression.oldDeflate) {
      const inflated = inflateSync(data, { maxOutputLength: rowSize * blockHeight });
      if (inflated.length < expected) throw new RangeError("too few pixels");
    }
    if (compression === Compression.jpeg) {
      const inner = jpeg.readHeader(data);
      if (inner.width > blockWidth || inner.height > blockHeight + 16)
        throw new Error("its JPEG data is of another size");
    }
  }
}

/** The file with one more directory, the only one that its header points to: the first one's image entries. */
function withOnlyPage(file: Buffer, page: Page): Buffer {
  const { littleEndian } = new TiffReader(file);
  const start = file.length + (file.length % 2);
  const entries = [...page.entries.values()].sort((a, b) => a.tag - b.tag);
  const directory = Buffer.alloc(2 + ENTRY_SIZE * entries.length + 4); // ends with 0: no next directory
  littleEndian ? directory.writeUInt16LE(entries.length) : directory.writeUInt16BE(entries.length);
  entries.forEach(({ bytes }, i) => {
    bytes.copy(directory, 2 + ENTRY_SIZE * i);
  });
  const whole = Buffer.concat([file, Buffer.alloc(start - file.length), directory]);
  littleEndian ? whole.writeUInt32LE(start, 4) : whole.writeUInt32BE(start, 4);
  return whole;
}
