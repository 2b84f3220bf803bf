import { openWithSharp, rgbFromSharp } from "../sharp.js";
import type { Sharp } from "../sharp-types.js";
import { checkNotEmpty, type DecodeContext, type DecodedPixels, type ImageCodec, type ImageHeader } from "./codec.js";
import { orientationOf } from "./orientation.js";
import { huffmanGroups } from "./webp-lossless.js";

/** WebP, lossy and lossless; of an animation the first frame. Only sharp decodes it. */
export const webp: ImageCodec = { readHeader, sharp: decode };

const FIRST_CHUNK = 12;
/** Flags of the extended header. */
const HAS_EXIF = 8;
const HAS_XMP = 4;

function readHeader(file: Buffer): ImageHeader {
  const size = readSize(file);
  checkNotEmpty(size.width, size.height);
  const cost = costOf(chunks(file, FIRST_CHUNK, file.length), size);
  return { ...size, orientation: readOrientation(file), kind: "any", cost, slowness: 3 };
}

/** libwebp's own encoder makes up to twice as many groups of Huffman codes, of any picture; each takes up to 12 KB and 0.1 ms. */
const ORDINARY_GROUPS = 1300;
const ALPHA_IS_LOSSLESS = 1;
const FRAME_HEADER = 16;

/** Estimates the cost of the picture, or of an animation's first frame: of its first lossless stream, and its alpha's. */
function costOf(data: Iterable<Chunk>, { width, height }: { width: number; height: number }): number {
  let groups = 1;
  const seen = new Set<string>();
  for (const { name, content } of data) {
    if (name === "ANMF") {
      const size = { width: content.readUIntLE(6, 3) + 1, height: content.readUIntLE(9, 3) + 1 };
      return Math.max(groups / ORDINARY_GROUPS, costOf(chunks(content, FRAME_HEADER, content.length), size));
    }
    const isLosslessAlpha = name === "ALPH" && ((content[0] ?? 0) & 3) === ALPHA_IS_LOSSLESS;
    if ((name !== "VP8L" && !isLosslessAlpha) || seen.has(name)) continue;
    seen.add(name);
    try {
      const stream = content.subarray(isLosslessAlpha ? 1 : 5);
      const bits = isLosslessAlpha ? 0 : content.readUInt32LE(1);
      const [columns, rows] = isLosslessAlpha ? [width, height] : [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
      groups = Math.max(groups, huffmanGroups(stream, columns, rows));
    } catch (error) {
      // It comes to an end for libwebp, too.
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return Math.max(1, groups / ORDINARY_GROUPS);
}

interface Chunk {
  readonly name: string;
  readonly content: Buffer;
}

function* chunks(data: Buffer, start: number, end: number): Generator<Chunk> {
  for (let at = start; at + 8 <= end; ) {
    const length = data.readUInt32LE(at + 4);
    yield { name: data.toString("latin1", at, at + 4), content: data.subarray(at + 8, at + 8 + length) };
    at += 8 + length + (length % 2);
  }
}

function readSize(file: Buffer): { width: number; height: number } {
  const data = FIRST_CHUNK + 8;
  switch (file.toString("latin1", FIRST_CHUNK, FIRST_CHUNK + 4)) {
    case "VP8 ":
      if (file.readUIntBE(data + 3, 3) !== 0x9d012a) break;
      return { width: file.readUInt16LE(data + 6) & 0x3fff, height: file.readUInt16LE(data + 8) & 0x3fff };
    case "VP8L": {
      if (file.readUInt8(data) !== 0x2f) break;
      const bits = file.readUInt32LE(data + 1);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case "VP8X":
      return { width: file.readUIntLE(data + 4, 3) + 1, height: file.readUIntLE(data + 7, 3) + 1 };
  }
  throw new Error("its WebP header is damaged");
}

/**
 * Reads the orientation from the first EXIF and the first XMP chunk, each if the extended header says that there is one, as libwebp
 * has it.
 */
function readOrientation(file: Buffer): number {
  if (file.toString("latin1", FIRST_CHUNK, FIRST_CHUNK + 4) !== "VP8X") return 1;
  const flags = file.readUInt8(FIRST_CHUNK + 8);
  const found = new Map<string, Buffer>();
  const end = Math.min(file.length, 8 + file.readUInt32LE(4));
  for (const { name, content } of chunks(file, FIRST_CHUNK, end)) if (!found.has(name)) found.set(name, content);
  return orientationOf({
    exif: flags & HAS_EXIF ? found.get("EXIF") : undefined,
    xmp: flags & HAS_XMP ? found.get("XMP ") : undefined,
  });
}

function decode(sharp: Sharp, file: Buffer, header: ImageHeader, context: DecodeContext): Promise<DecodedPixels> {
  return rgbFromSharp(openWithSharp(sharp, file, "error", context), header);
}
