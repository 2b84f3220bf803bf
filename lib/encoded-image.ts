import { NeuronBlipError } from "./errors.js";
import type { LookedAt } from "./looked-at.js";
import type { ImageSource } from "./processing/image-source.js";
import type { Shared } from "./runtime/shared.js";
import type { Tensor } from "./tensor.js";

/** What is inside an encoded image. @throws NeuronBlipError `DISPOSED`. For this package's own use. */
let lookedAtOf: (image: EncodedImage) => Shared<LookedAt>;

/** A picture that has been looked at: ask about it as often as you like. */
export class EncodedImage implements Disposable {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;
  readonly #lookedAt: Shared<LookedAt>;
  #disposed = false;

  static {
    lookedAtOf = (image) => {
      if (image.#disposed) {
        throw new NeuronBlipError("DISPOSED", "This picture has been disposed. Look at it again with encodeImage.");
      }
      return image.#lookedAt;
    };
  }

  /** @internal */
  constructor(lookedAt: Shared<LookedAt>) {
    this.#lookedAt = lookedAt;
    this.imageEmbeds = lookedAt.value.imageEmbeds;
  }

  /**
   * Gives the memory back now rather than when it is collected, with what was kept of the picture for the next questions; calls
   * under way that ask about it end as if it were there. May be called twice.
   */
  dispose(): void {
    if (!this.#disposed) this.#lookedAt.release();
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export { lookedAtOf };

/** A picture in any form: a path, a `file:` URL, a Buffer of a file, a Jimp instance, raw pixels, or `encodeImage`'s result. */
export type Picture = ImageSource | EncodedImage;
