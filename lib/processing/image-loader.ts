import type { OwnFloat32Array } from "../util/values.js";
import type { ImageSource, SourceOptions } from "./image-source.js";
import type { PictureGeometry } from "./picture-geometry.js";
import type { ImageDecoder } from "./raw-image.js";

export interface LoadImageOptions extends SourceOptions {
  /** The most pixels that an encoded picture may declare; default 89,478,485, which is Pillow's limit. */
  readonly maxPixels?: number;
  /**
   * "sharp" decodes by sharp, where it is installed, what it decodes to Pillow's pixels; "jimp" leaves it out.
   * Default: what the environment variable NEURON_BLIP_DECODER says, else "sharp".
   */
  readonly decoder?: ImageDecoder;
  /** Rejects the call with `ABORTED`, also while the picture comes, or waits for its turn to be decoded. */
  readonly signal?: AbortSignal;
}

/** What the model takes of a picture. */
export interface PixelTarget extends PictureGeometry {
  /** The pixel values of each byte: 256 of red, of green and of blue. */
  readonly tables: OwnFloat32Array;
}

/** Reads and decodes pictures, so that the processors need not know how. */
export interface ImageLoader {
  /** Returns how many pictures it decodes at a time, unless they are very large. */
  decoderThreads(): number;
  /**
   * Loads a picture and makes the model's pixel values of it.
   * @returns [3, height, width]
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `ABORTED`
   */
  loadPixelValues(source: ImageSource, target: PixelTarget, options: LoadImageOptions): Promise<Float32Array>;
}

let loader: ImageLoader | undefined;

/** Gives the processors the loader that they use: wiring.ts does, before anyone can make one. */
export function provideImageLoader(given: ImageLoader): void {
  loader = given;
}

export function imageLoader(): ImageLoader {
  if (loader === undefined) throw new TypeError("No image loader was provided: import neuron-blip by its index.");
  return loader;
}
