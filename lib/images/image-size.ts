import { NeuronBlipError } from "../errors.js";
import { avif } from "./formats/avif.js";
import { bmp } from "./formats/bmp.js";
import { FORMAT_NAMES, type ImageCodec, type ImageFormat, type ImageHeader } from "./formats/codec.js";
import { gif } from "./formats/gif.js";
import { jpeg } from "./formats/jpeg.js";
import { png } from "./formats/png.js";
import { tiff } from "./formats/tiff.js";
import { webp } from "./formats/webp.js";

/** The most pixels that are decoded unless the caller says otherwise: Pillow's own limit, a picture of 256 MB at 24 bits. */
export const DEFAULT_MAX_PIXELS = 89_478_485;

export const codecs: Readonly<Record<ImageFormat, ImageCodec>> = { jpeg, png, gif, bmp, tiff, webp, avif };

const READABLE =
  "The formats that can be read are JPEG, PNG, GIF, BMP and TIFF, and WebP and AVIF where sharp is installed.";
const CURE =
  "Convert it to PNG or JPEG, or decode it yourself and pass its pixels as { data, width, height, channels }.";

/** How files of the formats begin: one character a byte. */
const signatures: readonly [ImageFormat, string][] = [
  ["jpeg", "\xff\xd8\xff"],
  ["png", "\x89PNG\r\n\x1a\n"],
  ["gif", "GIF87a"],
  ["gif", "GIF89a"],
  ["bmp", "BM"],
  ["tiff", "II*\0"],
  ["tiff", "MM\0*"],
  ["tiff", "MM*\0"], // wrong, and written all the same
  ["tiff", "II\0*"],
  ["tiff", "II+\0"], // BigTIFF
  ["tiff", "MM\0+"],
];

/** Formats that are known by name only, so that the error can name them: where they have which bytes. */
const unsupported: readonly [name: string, offset: number, bytes: string][] = [
  ["HEIC", 4, "ftyphei"],
  ["HEIC", 4, "ftyphev"],
  ["HEIF", 4, "ftypmif1"],
  ["HEIF", 4, "ftypmsf1"],
  ["JPEG XL", 0, "\xff\x0a"],
  ["JPEG XL", 4, "JXL "],
  ["JPEG 2000", 0, "\xff\x4f\xff\x51"],
  ["JPEG 2000", 4, "jP  "],
  ["Windows icon", 0, "\0\0\x01\0"],
  ["Photoshop", 0, "8BPS"],
  ["PDF", 0, "%PDF"],
];

function nameUnsupported(start: string): string | undefined {
  const name = unsupported.find(([, offset, bytes]) => start.startsWith(bytes, offset))?.[0];
  if (name) return name;
  if (!/^(?:\xef\xbb\xbf)?\s*</.test(start)) return undefined;
  return /<svg/i.test(start) ? "SVG" : /<(?:!doctype\s+)?html/i.test(start) ? "HTML" : undefined;
}

/** Says whether a file is AVIF. Images of several codings share brands: then those that the file is compatible with tell. */
function isAvif(start: string): boolean {
  if (/^ftypavi[fs]/.test(start.slice(4))) return true;
  if (!/^ftypm[is]f1/.test(start.slice(4))) return false;
  const brands = start.slice(16, Buffer.from(start.slice(0, 4), "latin1").readUInt32BE(0));
  return (brands.match(/.{4}/gs) ?? []).some((brand) => brand === "avif" || brand === "avis");
}

/**
 * Reads the format from a file's first bytes.
 * @throws Error that names what it found instead.
 */
function sniffFormat(file: Buffer): ImageFormat {
  if (file.length === 0) throw new Error("it is empty (0 bytes)");
  const start = file.toString("latin1", 0, 1024);
  const format = signatures.find(([, bytes]) => start.startsWith(bytes))?.[0];
  if (format) return format;
  if (start.startsWith("RIFF") && start.startsWith("WEBP", 8)) return "webp";
  if (isAvif(start)) return "avif";
  const name = nameUnsupported(start);
  if (name) throw new Error(`its format is ${name}. ${READABLE} ${CURE}`);
  const bytes = file.toString("hex", 0, 8).replace(/..(?=.)/g, "$& ");
  throw new Error(`it is in no known format (${file.length} bytes, the first are ${bytes}). ${READABLE}`);
}

/**
 * Reads what an encoded picture declares, without decoding it.
 * @param file the encoded bytes
 * @returns its format, and its size as it is stored, before the EXIF orientation is applied
 * @throws Error that says what is wrong with the file
 */
export function readImageHeader(file: Buffer): ImageHeader & { readonly format: ImageFormat } {
  const format = sniffFormat(file);
  try {
    return { format, ...codecs[format].readHeader(file) };
  } catch (error) {
    throw explainTruncation(error, format, file);
  }
}

/** Puts a read beyond the end of the file in words; returns any other error as it is. */
export function explainTruncation(error: unknown, format: ImageFormat, file: Buffer): unknown {
  if (!(error instanceof RangeError)) return error;
  const name = FORMAT_NAMES[format];
  return new Error(`the ${name} data is truncated or damaged (${file.length} bytes)`, { cause: error });
}

/**
 * Checks a declared size against a limit.
 * @throws NeuronBlipError `IMAGE_TOO_LARGE`
 */
export function checkPixelLimit(width: number, height: number, maxPixels: number, name: string): void {
  if (width * height <= maxPixels) return;
  throw new NeuronBlipError(
    "IMAGE_TOO_LARGE",
    `${name} declares ${width} x ${height} = ${width * height} pixels, more than the limit of ${maxPixels}. ` +
      "It was not decoded. Scale it down, or raise the option maxPixels if it can be trusted.",
  );
}
