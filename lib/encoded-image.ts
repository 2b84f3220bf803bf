import type { ImageSource } from "./processing/load-image.js";
import type { Tensor } from "./tensor.js";

/** A picture that has been looked at: ask about it as often as you like. */
export class EncodedImage implements Disposable {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;

  /** @internal */
  constructor(imageEmbeds: Tensor<"float32">) {
    this.imageEmbeds = imageEmbeds;
  }

  /** Gives the memory back now rather than when it is collected. */
  dispose(): void {
    this.imageEmbeds.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A picture in any form: a path, a `file:` URL, a Buffer of a file, a Jimp instance, raw pixels, or `encodeImage`'s result. */
export type Picture = ImageSource | EncodedImage;
