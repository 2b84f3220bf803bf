import type { Sharp } from "../sharp-types.js";

/** The formats that can be decoded. */
export type ImageFormat = "jpeg" | "png" | "gif" | "bmp" | "tiff" | "webp" | "avif";

export const FORMAT_NAMES: Readonly<Record<ImageFormat, string>> = {
  jpeg: "JPEG",
  png: "PNG",
  gif: "GIF",
  bmp: "BMP",
  tiff: "TIFF",
  webp: "WebP",
  avif: "AVIF",
};

/** What a file declares about its picture. */
export interface ImageHeader {
  /** Stored columns, before the orientation is applied. */
  readonly width: number;
  /** Stored rows, before the orientation is applied. */
  readonly height: number;
  /** 1 to 8, as EXIF counts; 1 means that the picture is stored as it is shown. */
  readonly orientation: number;
  /** What decides which decoder reads it: one of the format's kinds in decoder-table.ts. */
  readonly kind: string;
  /** The decoder's work, as a multiple of what an ordinary picture of this size and format takes. Above MOST_COST it is refused. */
  readonly cost: number;
  /** How long a pixel of an ordinary file takes sharp, as a multiple of a baseline JPEG's. Default 1. */
  readonly slowness?: number;
}

/** Decoded pixels, rows from the top, not yet turned by the orientation: RGB or RGBA, of the size that the header declares. */
export interface DecodedPixels {
  readonly data: Uint8Array;
  readonly channels: 3 | 4;
}

export interface DecodeContext {
  /** What the declared size was held to. */
  readonly maxPixels: number;
  /** Tells the user something once in a process; `code` is the warning's. */
  readonly warn: (message: string, code: string) => void;
}

/**
 * Decodes the (first) picture. It keeps its thread busy, so call it on a worker. May overwrite `file`.
 * @param header what `readHeader` returned
 * @throws Error that says what is wrong; RangeError where the file ends too early
 */
export type Decode<Header extends ImageHeader = ImageHeader> = (
  file: Buffer,
  header: Header,
  context: DecodeContext,
) => Promise<DecodedPixels>;

export type DecodeWithSharp<Header extends ImageHeader = ImageHeader> = (
  sharp: Sharp,
  file: Buffer,
  header: Header,
  context: DecodeContext,
) => Promise<DecodedPixels>;

/** One format: how its header is read, and what each decoder does for it. decoder-table.ts says which decoder takes which kind. */
export interface ImageCodec {
  /**
   * Reads what the file declares, without decoding.
   * @throws Error that says what is wrong; RangeError where the file ends too early
   */
  readHeader(file: Buffer): ImageHeader;
  /** Our own. */
  readonly own?: Decode;
  /** By the `jimp` package. */
  readonly jimp?: Decode;
  /** By the `sharp` package. */
  readonly sharp?: DecodeWithSharp;
}

/** Checks that a picture has pixels. @throws Error where it has none. */
export function checkNotEmpty(width: number, height: number): void {
  if (width < 1 || height < 1) throw new Error(`it declares a size of ${width} x ${height}`);
}
