import type { Part } from "../torch/part.js";
import type { Tensor } from "../torch/tensor.js";
import { checkInput, type ShapePattern, tensorFrom } from "../torch/torch-values.js";

export interface VisionModelOutput {
  /** float32 [batch, image tokens, vision hidden size]: the picture, as the text models attend to it. */
  lastHiddenState: Tensor<"float32">;
  /** float32 [batch, vision hidden size]. Question answering does not use it. */
  poolerOutput: Tensor<"float32">;
}

/** The vision model: a compiled one, `vision_model.pt`, or a checkpoint's, which takes any batch. */
export class VisionModelWrapper {
  readonly #module: Pick<Part, "path" | "forward">;
  /** Its input: [batch, 3, height, width]; "any" height and width where a checkpoint was loaded with `interpolatePosEncoding`. */
  readonly inputShape: ShapePattern;

  constructor(module: Pick<Part, "path" | "forward">, shapes: { imageSize: number | "any" }) {
    this.#module = module;
    this.inputShape = ["any", 3, shapes.imageSize, shapes.imageSize];
  }

  /**
   * @param pixelValues float32 [batch, 3, height, width] of `inputShape`, normalised (see BlipImageProcessor).
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async forward(pixelValues: Tensor): Promise<VisionModelOutput> {
    checkInput("pixelValues", pixelValues, "float32", this.inputShape);
    const output = await this.#module.forward([pixelValues]);
    return {
      lastHiddenState: tensorFrom(output, "last_hidden_state", 0, this.#module.path),
      poolerOutput: tensorFrom(output, "pooler_output", 1, this.#module.path),
    };
  }
}
