import type { RawImage, StoredImage } from "../raw-image.js";

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;
const LONG = 4;

/** Reads 16- and 32-bit numbers in the byte order of a TIFF structure. */
export class TiffReader {
  readonly data: Buffer;
  readonly littleEndian: boolean;

  /** @throws Error where the data does not begin as a TIFF structure does. */
  constructor(data: Buffer) {
    const order = data.toString("latin1", 0, 2);
    if (order !== "II" && order !== "MM") throw new Error("it does not begin as a TIFF structure does");
    this.data = data;
    this.littleEndian = order === "II";
  }

  uint16(offset: number): number {
    return this.littleEndian ? this.data.readUInt16LE(offset) : this.data.readUInt16BE(offset);
  }

  uint32(offset: number): number {
    return this.littleEndian ? this.data.readUInt32LE(offset) : this.data.readUInt32BE(offset);
  }
}

/**
 * The orientation that an EXIF block (a TIFF structure) states in its first directory.
 * @returns 1 to 8; 1 where it states none or is damaged, for a picture is worth showing without its EXIF data.
 */
export function readExifOrientation(exif: Buffer): number {
  try {
    const reader = new TiffReader(exif);
    const directory = reader.uint32(4);
    const count = reader.uint16(directory);
    for (let i = 0; i < count; i++) {
      const entry = directory + 2 + 12 * i;
      if (reader.uint16(entry) !== ORIENTATION_TAG) continue;
      const type = reader.uint16(entry + 2);
      if (type !== SHORT && type !== LONG) return 1;
      return validOrientation(type === SHORT ? reader.uint16(entry + 8) : reader.uint32(entry + 8));
    }
  } catch {
    // Damaged EXIF data: as if there were none.
  }
  return 1;
}

export function validOrientation(value: number): number {
  return value >= 1 && value <= 8 ? value : 1;
}

/** Turns and mirrors a picture's pixels as its orientation asks (as PIL.ImageOps.exif_transpose does). */
export function applyOrientation({ data: pixels, width, height, channels, orientation }: StoredImage): RawImage {
  if (orientation === 1) return { data: pixels, width, height, channels };
  const swapped = orientation >= 5;
  const outWidth = swapped ? height : width;
  const outHeight = swapped ? width : height;
  // Where the first output pixel is read from, and how far one step right and one step down in the output lead.
  const last = width * height - 1;
  const walks: Record<number, [start: number, right: number, down: number]> = {
    2: [width - 1, -1, width],
    3: [last, -1, -width],
    4: [last - (width - 1), 1, -width],
    5: [0, width, 1],
    6: [last - (width - 1), -width, 1],
    7: [last, -width, -1],
    8: [width - 1, width, -1],
  };
  const [start, right, down] = walks[orientation] as [number, number, number];
  const data = new Uint8Array(pixels.length);
  for (let y = 0, to = 0; y < outHeight; y++) {
    for (let x = 0, from = (start + y * down) * channels; x < outWidth; x++, from += right * channels) {
      for (let c = 0; c < channels; c++) data[to++] = pixels[from + c] as number;
    }
  }
  return { data, width: outWidth, height: outHeight, channels };
}
