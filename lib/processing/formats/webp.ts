import { openWithSharp, rgbFromSharp, type Sharp } from "../sharp.js";
import { checkNotEmpty, type DecodeContext, type DecodedPixels, type ImageCodec, type ImageHeader } from "./codec.js";
import { orientationOf } from "./orientation.js";

/** WebP, lossy and lossless; of an animation the first frame. Only sharp decodes it. */
export const webp: ImageCodec = { readHeader, sharp: decode };

const FIRST_CHUNK = 12;
/** Flags of the extended header. */
const HAS_EXIF = 8;
const HAS_XMP = 4;

function readHeader(file: Buffer): ImageHeader {
  const size = readSize(file);
  checkNotEmpty(size.width, size.height);
  return { ...size, orientation: readOrientation(file), kind: "any", cost: 1 };
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

/** Its first EXIF and its first XMP chunk, each if the extended header says that there is one, as libwebp has it. */
function readOrientation(file: Buffer): number {
  if (file.toString("latin1", FIRST_CHUNK, FIRST_CHUNK + 4) !== "VP8X") return 1;
  const flags = file.readUInt8(FIRST_CHUNK + 8);
  const found = new Map<string, Buffer>();
  const end = Math.min(file.length, 8 + file.readUInt32LE(4));
  for (let at = FIRST_CHUNK; at + 8 <= end; ) {
    const name = file.toString("latin1", at, at + 4);
    const length = file.readUInt32LE(at + 4);
    if (!found.has(name)) found.set(name, file.subarray(at + 8, at + 8 + length));
    at += 8 + length + (length % 2);
  }
  return orientationOf({
    exif: flags & HAS_EXIF ? found.get("EXIF") : undefined,
    xmp: flags & HAS_XMP ? found.get("XMP ") : undefined,
  });
}

function decode(sharp: Sharp, file: Buffer, header: ImageHeader, context: DecodeContext): Promise<DecodedPixels> {
  return rgbFromSharp(openWithSharp(sharp, file, "error", context), header);
}
