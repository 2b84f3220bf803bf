import type { RawImage, StoredImage } from "../../processing/raw-image.js";
import { TiffDirectory } from "./tiff-directory.js";

const ORIENTATION_TAG = 0x0112;
const EXIF_HEADER = "Exif\0\0";
/** Types whose values Pillow has as bytes or text, which no orientation equals. */
const NO_NUMBERS: ReadonlySet<number> = new Set([1, 2, 7]);

/** What a file says about how its picture is to be turned. */
export interface OrientationSources {
  /** An EXIF block, with or without "Exif\0\0" before it, once or more often. */
  readonly exif?: Buffer | undefined;
  /** An XMP packet. */
  readonly xmp?: Buffer | undefined;
}

/**
 * Finds the orientation as Pillow's ImageOps.exif_transpose does: EXIF's own tag, or XMP's where EXIF has none. An EXIF block that
 * cannot be read says that the picture is upright: it is worth showing.
 * @returns 1 to 8
 */
export function orientationOf({ exif, xmp }: OrientationSources): number {
  try {
    const stated = exif && exifOrientation(exif);
    if (stated !== undefined) return stated;
  } catch (error) {
    // A block that ends before its directory states nothing.
    if (!(error instanceof RangeError)) return 1;
  }
  const match = /tiff:Orientation(?:="|>)([0-9])/.exec(xmp?.toString("latin1") ?? "");
  return match ? validOrientation(Number(match[1])) : 1;
}

/** Returns the orientation that a TIFF file's first directory states, or else its XMP. */
export function orientationOfTiff(directory: TiffDirectory): number {
  return statedOrientation(directory) ?? orientationOf({ xmp: directory.entry(700)?.data });
}

/**
 * Reads an EXIF block from the text of PNG's "Raw profile type exif": three lines, then hexadecimal digits.
 * @returns undefined where they are no such digits
 */
export function exifOfRawProfile(text: string): Buffer | undefined {
  const digits = text.split("\n").slice(3).join("").replace(/\s/g, "");
  return /^(?:[0-9a-f]{2})*$/i.test(digits) ? Buffer.from(digits, "hex") : undefined;
}

/**
 * Reads the orientation of an EXIF block.
 * @returns undefined where the block does not state it
 * @throws Error where it cannot be read
 */
function exifOrientation(exif: Buffer): number | undefined {
  let block = exif;
  while (block.toString("latin1", 0, EXIF_HEADER.length) === EXIF_HEADER) block = block.subarray(EXIF_HEADER.length);
  if (block.length === 0) return undefined;
  const directory = new TiffDirectory(block);
  if (directory.big) throw new Error("Pillow reads no BigTIFF in EXIF");
  return statedOrientation(directory);
}

function statedOrientation(directory: TiffDirectory): number | undefined {
  const entry = directory.entry(ORIENTATION_TAG);
  if (entry === undefined) return undefined;
  return NO_NUMBERS.has(entry.type) ? 1 : validOrientation(directory.value(ORIENTATION_TAG, 1));
}

function validOrientation(value: number): number {
  return Number.isInteger(value) && value >= 1 && value <= 8 ? value : 1;
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
  const [start, right, down] = walks[orientation] ?? [0, 1, width];
  const data = new Uint8Array(pixels.length);
  for (let y = 0, to = 0; y < outHeight; y++) {
    for (let x = 0, from = (start + y * down) * channels; x < outWidth; x++, from += right * channels) {
      for (let c = 0; c < channels; c++) data[to++] = pixels[from + c] ?? 0;
    }
  }
  return { data, width: outWidth, height: outHeight, channels };
}
