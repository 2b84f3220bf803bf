import { inflateSync } from "node:zlib";
import { jimpFormat } from "../jimp-formats.js";
import type { DecodeContext, DecodedPixels, ImageHeader } from "./codec.js";
import { fileOfStack, placeStack, stacksOf, type TagValues } from "./tiff-copy.js";
import { lzwLength, packBitsLength } from "./tiff-lengths.js";
import { Compression, readTiffPage, Tag, type TiffPage } from "./tiff-page.js";

const COPIED_TAGS = [
  Tag.bitsPerSample,
  Tag.compression,
  Tag.photometric,
  Tag.samplesPerPixel,
  Tag.planarConfiguration,
  Tag.predictor,
  Tag.colorMap,
  Tag.extraSamples,
  Tag.sampleFormat,
  Tag.jpegTables,
  Tag.yCbCrSubsampling,
] as const;

/**
 * Decodes a TIFF by jimp's decoder (UTIF), which decodes every page, follows links of the file in circles and fills up pixels
 * that are missing. It is therefore given a directory of its own, of the first page, whose pixels have been found complete.
 */
export async function decodeTiffWithJimp(
  file: Buffer,
  _header: ImageHeader,
  _context: DecodeContext,
): Promise<DecodedPixels> {
  const page = readTiffPage(file);
  checkPixelData(file, page);
  const jimp = await jimpFormat("image/tiff");
  const tags: (readonly [number, TagValues])[] = [];
  for (const tag of COPIED_TAGS) {
    const entry = page.directory.entry(tag);
    if (entry !== undefined) tags.push([tag, tag === Tag.jpegTables ? entry.data : page.directory.values(tag)]);
  }
  const result = new Uint8Array(page.width * page.height * 4);
  for (const stack of stacksOf(page)) {
    placeStack(jimp.decode(fileOfStack(file, page, stack, { tags })).data, stack, 4, page, result);
  }
  return { data: result, channels: 4 };
}

/** Checks that each strip or tile holds its pixels, and does not inflate beyond them. */
function checkPixelData(file: Buffer, page: TiffPage): void {
  const { width, height, blockWidth, blockHeight, blocks, bits, samples, compression, tiled } = page;
  const rowSize = Math.ceil((blockWidth * bits * samples) / 8);
  const across = Math.ceil(width / blockWidth);
  blocks.forEach(({ offset, length }, i) => {
    const data = file.subarray(offset, offset + length);
    const rows = tiled ? blockHeight : Math.min(blockHeight, height - Math.floor(i / across) * blockHeight);
    if (expandedLength(data, compression, rowSize * blockHeight, rowSize * rows) < rowSize * rows) {
      throw new RangeError("too few pixels");
    }
  });
}

function expandedLength(data: Buffer, compression: number, most: number, expected: number): number {
  switch (compression) {
    case Compression.lzw:
      return lzwLength(data, expected);
    case Compression.packBits:
      return packBitsLength(data);
    case Compression.deflate:
    case Compression.oldDeflate:
      return inflateSync(data, { maxOutputLength: most }).length;
    default:
      return expected; // uncompressed data has been measured already, and JPEG measures itself
  }
}
