import type { Part } from "../torch/part.js";
import { Tensor } from "../torch/tensor.js";
import { checkInput, type ShapePattern, tensorFrom } from "../torch/torch-values.js";
import type { CompiledShapes } from "./compiled-shapes.js";

/** The text encoder, which reads a question together with a picture: a compiled one, `text_encoder.pt`, or a checkpoint's. */
export class TextEncoderWrapper {
  readonly #module: Part;
  readonly #textShape: ShapePattern;
  readonly #imageShape: ShapePattern;
  readonly #imageTokens: number;

  constructor(
    module: Part,
    shapes: Pick<CompiledShapes, "questionLength" | "padsQuestions" | "imageTokens" | "visionHiddenSize">,
  ) {
    this.#module = module;
    this.#textShape = ["any", shapes.padsQuestions ? shapes.questionLength : "any"];
    this.#imageShape = ["any", shapes.imageTokens, shapes.visionHiddenSize];
    this.#imageTokens = shapes.imageTokens;
  }

  /**
   * Reads a batch of questions, each with its picture.
   * @param inputIds int64 [batch, question length], padded to the compiled length.
   * @param attentionMask int64 of the same shape: 1 for the question's tokens, 0 for padding.
   * @param imageEmbeds float32 [batch, image tokens, vision hidden size]: the vision model's lastHiddenState.
   * @returns question embeddings, float32 [batch, question length, text hidden size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async forward(inputIds: Tensor, attentionMask: Tensor, imageEmbeds: Tensor): Promise<Tensor<"float32">> {
    checkInput("inputIds", inputIds, "int64", this.#textShape);
    checkInput("attentionMask", attentionMask, "int64", this.#textShape);
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#imageShape);
    // Every part of a picture counts, always.
    const [count = 0] = imageEmbeds.shape;
    const imageAttentionMask = Tensor.zeros("int64", [count, this.#imageTokens]);
    imageAttentionMask.data.fill(1n);
    const output = await this.#module.forward([inputIds, attentionMask, imageEmbeds, imageAttentionMask]);
    return tensorFrom(output, "last_hidden_state", 0, this.#module.path);
  }
}
