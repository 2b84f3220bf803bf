import type { Tensor } from "../torch/tensor.js";
import type { RefCounted } from "../util/ref-counted.js";

/** What a model made of a picture, in native memory. */
export class ImageFeatures {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;
  #keyValues: RefCounted<Tensor> | undefined;
  #disposed = false;

  /** @param keyValues is given over: disposing this lets go of it. */
  constructor(imageEmbeds: Tensor<"float32">, keyValues?: RefCounted<Tensor>) {
    this.imageEmbeds = imageEmbeds;
    this.#keyValues = keyValues;
  }

  /**
   * What the text encoder's attention to the picture computes of it, whatever the question, once it has been computed; bigger
   * than the embeddings: 42 MB in fp32 for BLIP's 577 image tokens.
   */
  get keyValues(): RefCounted<Tensor> | undefined {
    return this.#keyValues;
  }

  /** Keeps the keys and values, where there are none yet; they are given over. */
  keep(keyValues: RefCounted<Tensor>): void {
    if (this.#disposed || this.#keyValues) keyValues.release();
    else this.#keyValues = keyValues;
  }

  /** Lets go of the keys and values: the next questions do without. */
  forgetKeyValues(): void {
    this.#keyValues?.release();
    this.#keyValues = undefined;
  }

  /** What the embeddings take. */
  get bytes(): number {
    return bytesOf(this.imageEmbeds);
  }

  /** What the keys and values take, besides. */
  get keyValuesBytes(): number {
    return this.#keyValues ? bytesOf(this.#keyValues.value) : 0;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.imageEmbeds.dispose();
    this.forgetKeyValues();
  }
}

/** Of float32 and of the half types, which is what embeddings, keys and values are. */
export function bytesOf({ dtype, size }: Tensor): number {
  return size * (dtype === "float32" ? 4 : 2);
}
