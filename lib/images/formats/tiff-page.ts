import { jpegCost } from "./jpeg-cost.js";
import { readScans } from "./jpeg-scans.js";
import { readJpegSegments } from "./jpeg-segments.js";
import { TiffDirectory } from "./tiff-directory.js";

export const Tag = {
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  fillOrder: 266,
  stripOffsets: 273,
  samplesPerPixel: 277,
  rowsPerStrip: 278,
  stripByteCounts: 279,
  planarConfiguration: 284,
  t4Options: 292,
  t6Options: 293,
  predictor: 317,
  colorMap: 320,
  tileWidth: 322,
  tileHeight: 323,
  tileOffsets: 324,
  tileByteCounts: 325,
  extraSamples: 338,
  sampleFormat: 339,
  jpegTables: 347,
  yCbCrCoefficients: 529,
  yCbCrSubsampling: 530,
  referenceBlackWhite: 532,
} as const;

export const Compression = {
  none: 1,
  ccitt: 2,
  group3: 3,
  group4: 4,
  lzw: 5,
  oldJpeg: 6,
  jpeg: 7,
  deflate: 8,
  oldDeflate: 32946,
  packBits: 32773,
  lzma: 34925,
  zstd: 50000,
  webp: 50001,
} as const;

export const Photometric = { whiteIsZero: 0, blackIsZero: 1, rgb: 2, palette: 3, cmyk: 5, yCbCr: 6, lab: 8 } as const;

/** A strip or tile: where its bytes are in the file. */
export interface TiffBlock {
  readonly offset: number;
  readonly length: number;
}

/** The first page of a TIFF file, its absent tags as Pillow takes them. */
export interface TiffPage {
  readonly directory: TiffDirectory;
  readonly width: number;
  readonly height: number;
  readonly compression: number;
  readonly photometric: number;
  readonly fillOrder: number;
  /** Of each sample: all have the same; 0 where they have not. */
  readonly bits: number;
  readonly samples: number;
  /** 1 unsigned, 2 signed, 3 floating point. */
  readonly sampleFormat: number;
  readonly extraSamples: readonly number[];
  /** 2 and 3 store differences. */
  readonly predictor: number;
  /** Whether each sample has blocks of its own, all of the first sample's before all of the second's. */
  readonly planar: boolean;
  readonly tiled: boolean;
  readonly blockWidth: number;
  readonly blockHeight: number;
  /** Blocks of one plane. */
  readonly blocksPerPlane: number;
  readonly blocks: readonly TiffBlock[];
}

/** Tiles may be larger than the picture by their alignment, and by no more than so many pixels. */
const SMALL_TILE = 2 ** 20;

/**
 * Reads the first page.
 * @throws Error that says what is wrong; RangeError where the file ends too early
 */
export function readTiffPage(file: Buffer): TiffPage {
  const directory = new TiffDirectory(file);
  const width = directory.value(Tag.width, 0);
  const height = directory.value(Tag.height, 0);
  const compression = directory.value(Tag.compression, Compression.none);
  const extraSamples = directory.values(Tag.extraSamples);
  const samples = directory.value(Tag.samplesPerPixel, 1);
  const depths = directory.values(Tag.bitsPerSample);
  const bits = depths[0] ?? 1;
  const formats = directory.values(Tag.sampleFormat);
  if (directory.value(Tag.photometric, 0) === Photometric.palette && directory.entry(Tag.colorMap) === undefined) {
    throw new RangeError("it has no palette");
  }
  const tiled = directory.entry(Tag.tileOffsets) !== undefined && directory.entry(Tag.stripOffsets) === undefined;
  const page = {
    directory,
    width,
    height,
    compression,
    photometric: directory.value(Tag.photometric, Photometric.whiteIsZero),
    fillOrder: directory.value(Tag.fillOrder, 1),
    bits: depths.slice(0, samples).every((depth) => depth === bits) ? bits : 0,
    samples,
    sampleFormat: formats.every((format) => format === formats[0]) ? (formats[0] ?? 1) : 0,
    extraSamples,
    predictor: directory.value(Tag.predictor, 1),
    planar: samples > 1 && directory.value(Tag.planarConfiguration, 1) === 2,
    tiled,
    blockWidth: tiled ? directory.value(Tag.tileWidth, 0) : width,
    blockHeight: tiled
      ? directory.value(Tag.tileHeight, 0)
      : Math.min(directory.value(Tag.rowsPerStrip, height), height),
  };
  return splitStrips({ ...page, ...readBlocks(file, page) });
}

function readBlocks(
  file: Buffer,
  page: Omit<TiffPage, "blocks" | "blocksPerPlane">,
): Pick<TiffPage, "blocks" | "blocksPerPlane"> {
  const { directory, tiled, width, height, blockWidth, blockHeight, compression } = page;
  if (![width, height, blockWidth, blockHeight].every((size) => Number.isInteger(size) && size > 0)) {
    throw new Error(`it declares a size of ${width} x ${height}, in blocks of ${blockWidth} x ${blockHeight}`);
  }
  if (tiled && blockWidth * blockHeight > Math.max(width * height * 4, SMALL_TILE)) {
    throw new Error(`its TIFF tiles of ${blockWidth} x ${blockHeight} are too large for ${width} x ${height} pixels`);
  }
  const offsets = directory.values(tiled ? Tag.tileOffsets : Tag.stripOffsets);
  const lengths = directory.values(tiled ? Tag.tileByteCounts : Tag.stripByteCounts);
  const blocksPerPlane = Math.ceil(height / blockHeight) * Math.ceil(width / blockWidth);
  const count = blocksPerPlane * (page.planar ? page.samples : 1);
  if (!(offsets.length >= count)) throw new RangeError("too few strips or tiles");
  if (offsets.length > count && compression === Compression.none && !tiled) {
    throw new Error("its TIFF data has more strips than rows, which Pillow refuses, or writes over the first");
  }
  const rowBits = blockWidth * page.bits * (page.planar ? 1 : page.samples);
  const blocks = offsets.slice(0, count).map((offset, i) => {
    const rest = Math.max(file.length - offset, 0);
    if (compression !== Compression.none) {
      // libtiff takes what there is where the only length is missing or 0.
      const length = count === 1 ? lengths[i] || rest : (lengths[i] ?? rest);
      if (length > rest) throw new RangeError(`the pixels at ${offset} reach beyond the file`);
      return { offset, length };
    }
    // Pillow reads as many bytes as there are pixels, whatever their count says.
    const last = !tiled && i % blocksPerPlane === blocksPerPlane - 1;
    const rows = last ? height - blockHeight * (blocksPerPlane - 1) : blockHeight;
    const length = Math.ceil(rowBits / 8) * rows;
    if (length > rest) throw new RangeError(`the pixels at ${offset} reach beyond the file`);
    return { offset, length };
  });
  return { blocks, blocksPerPlane };
}

/** Strips of so many bytes take little memory. */
const SMALL_STRIP = 2 ** 23;

/** Divides large uncompressed strips: their rows are where they are, whatever the file calls a strip. */
function splitStrips(page: TiffPage): TiffPage {
  const { compression, tiled, width, height, blockHeight, bits, samples, planar, blocks, blocksPerPlane } = page;
  const rowBytes = Math.ceil((width * bits * (planar ? 1 : samples)) / 8);
  const rows = Math.max(1, Math.floor(SMALL_STRIP / rowBytes));
  if (tiled || compression !== Compression.none || blocksPerPlane !== 1 || blockHeight <= rows) return page;
  const split = blocks.flatMap(({ offset }) =>
    Array.from({ length: Math.ceil(height / rows) }, (_, i) => ({
      offset: offset + i * rows * rowBytes,
      length: Math.min(rows, height - i * rows) * rowBytes,
    })),
  );
  return { ...page, blockHeight: rows, blocks: split, blocksPerPlane: Math.ceil(height / rows) };
}

/** Estimates the work of decoding, as a multiple of an ordinary TIFF's of its size: JPEG data may have thousands of scans. */
export function tiffCost(file: Buffer, page: TiffPage): number {
  const { width, height, blockWidth, blockHeight, blocks } = page;
  const pixels = width * height;
  const padding =
    (blocks.length * blockWidth * blockHeight) / Math.max(pixels * (page.planar ? page.samples : 1), SMALL_TILE);
  if (page.compression !== Compression.jpeg) return Math.max(1, padding);
  let work = 0;
  for (const { offset, length } of blocks) {
    const data = file.subarray(offset, offset + length);
    const { frame, scan, interval } = readJpegSegments(data);
    if (frame.width > blockWidth || frame.height > blockHeight + 16) {
      throw new Error("its JPEG data is of another size than its TIFF tags declare");
    }
    work += jpegCost(readScans(data, scan, frame, interval), frame) * Math.max(frame.width * frame.height, 1);
  }
  return Math.max(1, padding, work / Math.max(pixels, 1));
}
