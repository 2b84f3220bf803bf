/** Which decoders may be used: sharp, where it is installed, and what decoder-table.ts names beside it; or all but sharp. */
export type ImageDecoder = "sharp" | "jimp";

/** A picture's pixels: rows from the top, each pixel 3 (RGB) or 4 (RGBA) bytes. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** With 4, the fourth is alpha, which the model does not see: it is dropped, not blended. */
  readonly channels: 3 | 4;
}

/** Pixels as they may be given: also 1 (grey) or 2 (grey and alpha) bytes each. */
export interface PixelImage extends Omit<RawImage, "channels"> {
  readonly channels: 1 | 2 | 3 | 4;
}

/** A picture as its file stores it. */
export interface StoredImage extends RawImage {
  /** EXIF's, 1 to 8: how it is to be turned; 1 means that it is stored as it is shown. */
  readonly orientation: number;
}

/**
 * Turns grey pixels into RGB, without alpha, as Pillow's `convert("RGB")`; returns others as they are. It keeps its thread busy.
 */
export function expandGrey({ data, width, height, channels }: PixelImage): RawImage {
  if (channels === 3 || channels === 4) return { data, width, height, channels };
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += channels, to += 3) {
    const grey = data[from] ?? 0;
    rgb[to] = grey;
    rgb[to + 1] = grey;
    rgb[to + 2] = grey;
  }
  return { data: rgb, width, height, channels: 3 };
}
