/** A picture's pixels: rows from the top, each pixel 3 (RGB) or 4 (RGBA) bytes. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** With 4, the fourth is alpha, which the model does not see: it is dropped, not blended. */
  readonly channels: 3 | 4;
}
