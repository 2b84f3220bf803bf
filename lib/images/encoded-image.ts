import { NeuronBlipError } from "../errors.js";
import type { ImageSource } from "../processing/image-source.js";
import type { Tensor } from "../torch/tensor.js";
import type { ImageFeatures } from "./image-features.js";

/** Returns the features of an encoded image. @throws NeuronBlipError `DISPOSED`. For this package's own use. */
let featuresOf: (image: EncodedImage) => ImageFeatures;

/** A picture that has been encoded: ask about it as often as you like. */
export class EncodedImage implements Disposable {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;
  readonly #features: ImageFeatures;
  #disposed = false;

  static {
    featuresOf = (image) => {
      if (image.#disposed) {
        throw new NeuronBlipError("DISPOSED", "This picture has been disposed. Encode it again with encodeImage.");
      }
      return image.#features;
    };
  }

  /** @internal */
  constructor(features: ImageFeatures) {
    this.#features = features;
    this.imageEmbeds = features.imageEmbeds;
  }

  /**
   * Frees the memory now rather than when it is collected, with what was kept of the picture for the next questions; calls
   * under way that ask about it end as if it were there. May be called twice.
   */
  dispose(): void {
    if (!this.#disposed) this.#features.release();
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export { featuresOf };

/** A picture in any form: a path, a `file:` URL, a Buffer of a file, a Jimp instance, raw pixels, or `encodeImage`'s result. */
export type Picture = ImageSource | EncodedImage;
