import { crc32 } from "node:zlib";
import { openWithSharp, rgbFromSharp } from "../sharp.js";
import type { Sharp } from "../sharp-types.js";
import type { DecodeContext, DecodedPixels, ImageCodec, ImageHeader } from "./codec.js";
import { warnOfCutGray } from "./colours.js";
import { type PngFile, readPngChunks } from "./png-chunks.js";
import { inflateRows } from "./png-inflate.js";
import { passesOf, toRgb } from "./png-pixels.js";
import { readPngOrientation } from "./png-text.js";

const INDEXED = 3;
/** So many bytes of compressed pixels cost nothing, however small the picture is. */
const SMALL = 2 ** 20;
/** So many chunks of pixels are made one, rather than each a chunk again. */
const MANY_CHUNKS = 1000;

/** PNG: every colour type and depth, interlaced or not; of an animation its default picture, else its first frame. */
export const png: ImageCodec = { readHeader, own: decode, sharp: decodeWithSharp };

function readHeader(file: Buffer): ImageHeader {
  const png = readPngChunks(file);
  const { width, height } = png;
  return { width, height, orientation: readPngOrientation(png.others), kind: kindOf(png), cost: costOf(png) };
}

/** Estimates the work: compressed pixels may be longer than the pixels, and all of them would be read and kept. */
function costOf(png: PngFile): number {
  const compressed = png.data.reduce((sum, { length }) => sum + length, 0);
  return Math.max(1, compressed / (lengthOf(png) + SMALL));
}

/** Counts the bytes of all rows. */
function lengthOf(png: PngFile): number {
  return passesOf(png).reduce((sum, { stride, rows }) => sum + stride * rows, 0);
}

function kindOf({ width, height, depth, color, palette, frame }: PngFile): string {
  if (depth === 16) return "16-bit";
  if (color === INDEXED && palette.length < 3 * 2 ** depth) return "short palette";
  return frame.width === width && frame.height === height ? "8-bit" : "small first frame";
}

async function decode(file: Buffer, _: ImageHeader, { warn }: DecodeContext): Promise<DecodedPixels> {
  const png = readPngChunks(file);
  const passes = passesOf(png);
  const isRowEnd = (at: number) => {
    let begin = 0;
    for (const { stride, rows } of passes) {
      if (at <= begin + stride * rows) return (at - begin) % stride === 0;
      begin += stride * rows;
    }
    return false;
  };
  const { pixels, cut } = toRgb(png, await inflateRows(png.data, lengthOf(png), isRowEnd));
  if (cut) warnOfCutGray(warn);
  return { data: pixels, channels: 3 };
}

/**
 * Decodes by sharp the header, the palette and the pixels, with checksums that are right: the other chunks do not change the
 * pixels. What it objects to (a wrong checksum or a missing row, say) is left to our own decoder, which knows what Pillow makes of
 * it.
 */
async function decodeWithSharp(
  sharp: Sharp,
  file: Buffer,
  header: ImageHeader,
  context: DecodeContext,
): Promise<DecodedPixels> {
  try {
    return await rgbFromSharp(openWithSharp(sharp, withoutExtras(readPngChunks(file)), "warning", context), header);
  } catch {
    return decode(file, header, context);
  }
}

function withoutExtras({ width, height, depth, color, interlaced, palette, data }: PngFile): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, color, 0, 0, interlaced ? 1 : 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    ...chunk("IHDR", header),
    ...(color === INDEXED ? chunk("PLTE", palette.subarray(0, 3 * 2 ** depth)) : []),
    ...(data.length > MANY_CHUNKS ? [Buffer.concat(data)] : data).flatMap((piece) => chunk("IDAT", piece)),
    ...chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer[] {
  const start = Buffer.alloc(8);
  start.writeUInt32BE(data.length, 0);
  start.write(type, 4, "latin1");
  const end = Buffer.alloc(4);
  end.writeUInt32BE(crc32(data, crc32(type)), 0);
  return [start, data, end];
}
