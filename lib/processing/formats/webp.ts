import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";
import { readExifOrientation } from "./exif.js";

/** WebP, lossy and lossless; of an animation the first frame. Only sharp decodes it. */
export const webp: ImageCodec = { readHeader, decode };

const FIRST_CHUNK = 12;
const EXIF_HEADER = "Exif\0\0";

function readHeader(file: Buffer): ImageHeader {
  const size = readSize(file);
  checkNotEmpty(size.width, size.height);
  return { ...size, orientation: readOrientation(file) };
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

function readOrientation(file: Buffer): number {
  for (let at = FIRST_CHUNK; at + 8 <= file.length; ) {
    const length = file.readUInt32LE(at + 4);
    if (file.toString("latin1", at, at + 4) === "EXIF") {
      const exif = file.subarray(at + 8, at + 8 + length);
      const withHeader = exif.toString("latin1", 0, EXIF_HEADER.length) === EXIF_HEADER;
      return readExifOrientation(withHeader ? exif.subarray(EXIF_HEADER.length) : exif);
    }
    at += 8 + length + (length % 2);
  }
  return 1;
}

async function decode(): Promise<never> {
  throw new Error(
    "its format is WebP, which is decoded by sharp: install sharp (`npm install sharp`). " +
      "Or convert it to PNG or JPEG, or decode it yourself and pass its pixels as { data, width, height, channels }.",
  );
}
