/** The formats that can be decoded. */
export type ImageFormat = "jpeg" | "png" | "gif" | "bmp" | "tiff" | "webp";

/** What a file declares about its picture. */
export interface ImageHeader {
  /** Stored columns, before the orientation is applied. */
  readonly width: number;
  /** Stored rows, before the orientation is applied. */
  readonly height: number;
  /** EXIF orientation, 1 to 8; 1 means that the picture is stored as it is shown. */
  readonly orientation: number;
}

/** One format. Both functions throw an Error that says what is wrong; a RangeError where the file ends too early. */
export interface ImageCodec {
  /** Reads what the file declares, without decoding. */
  readHeader(file: Buffer): ImageHeader;
  /**
   * Decodes the (first) picture to RGBA, not yet turned by its orientation. It keeps its thread busy, so call it on a worker.
   * The decoder's package is loaded on first use, there only.
   * May overwrite `file`. `header` is what `readHeader` returned; `maxPixels` the limit that it was held to.
   */
  decode(file: Buffer, header: ImageHeader, maxPixels: number): Promise<Uint8Array>;
}

/** @throws Error where a picture has no pixels. */
export function checkNotEmpty(width: number, height: number): void {
  if (width < 1 || height < 1) throw new Error(`it declares a size of ${width} x ${height}`);
}
