import type { Tensor } from "../torch/tensor.js";
import type { EncoderRow } from "./encoder-row.js";
import type { TokenIds } from "./token-ids.js";

/** A text about a picture. */
export interface TextAboutImage extends TokenIds {
  /** float32 [1, image tokens, vision hidden size] */
  readonly image: Tensor<"float32">;
  /** The picture's keys and values, where they are at hand: see `imageKeysValues`. */
  readonly keyValues: Tensor | undefined;
}

/** A text to be read. */
export interface Question extends TextAboutImage {
  /** How many of its tokens, padding included, the decoder may attend to. */
  readonly attended: number;
}

/** Reads questions together with pictures. A model's way of doing so is chosen when it is loaded. */
export interface QuestionEncoder {
  /**
   * Returns what the decoder attends to, for each question.
   * @throws NeuronBlipError `EXECUTION_FAILED`, `DISPOSED`; `ABORTED`, between calls of the model.
   */
  encode(questions: readonly Question[], signal?: AbortSignal): Promise<EncoderRow[]>;
  /** Computes what reading needs of a picture alone, where that can be kept: [layers, 2, heads, image tokens, head size]. */
  imageKeysValues?(imageEmbeds: Tensor<"float32">): Promise<Tensor>;
}
