import type { PictureSize, ResizeRule } from "./picture-geometry.js";

/** What preprocessor_config.json says, in camelCase; every field has BLIP's default. */
export interface BlipImageProcessorConfig {
  /**
   * How pictures are resized, in pixels. Default 384 x 384, whatever their shape. `shortestEdge`, with or without
   * `longestEdge`, and `maxHeight` with `maxWidth` keep the shape, and so need a crop or a `padSize`, since the model takes
   * pictures of one size.
   */
  readonly size?: ResizeRule;
  readonly doResize?: boolean;
  /** Only 3 (bicubic). */
  readonly resample?: number;
  /** Whether the middle of the resized picture, of `cropSize`, is cut out; what is missing there is black. Default false. */
  readonly doCenterCrop?: boolean;
  readonly cropSize?: PictureSize;
  readonly doRescale?: boolean;
  /** Default 1/255. */
  readonly rescaleFactor?: number;
  readonly doNormalize?: boolean;
  /** Of red, green and blue; or one number for all. */
  readonly imageMean?: number | readonly number[];
  readonly imageStd?: number | readonly number[];
  /** Whether zeros are added on the right and below, after all else, up to `padSize`; without one nothing is. Default false. */
  readonly doPad?: boolean;
  readonly padSize?: PictureSize;
}
