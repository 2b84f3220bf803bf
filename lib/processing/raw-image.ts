/** A picture's pixels: rows from the top, each pixel 3 (RGB) or 4 (RGBA) bytes. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** With 4, the fourth is alpha, which the model does not see: it is dropped, not blended. */
  readonly channels: 3 | 4;
}

/** A picture as its file stores it. */
export interface StoredImage extends RawImage {
  /** EXIF's, 1 to 8: how it is to be turned; 1 means that it is stored as it is shown. */
  readonly orientation: number;
}
