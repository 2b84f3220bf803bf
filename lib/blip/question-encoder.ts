import type { Tensor } from "../tensor.js";
import type { EncoderRow } from "./encoder-row.js";
import type { TextRow } from "./text-rows.js";

/** One text, about one picture. */
export interface Question extends TextRow {
  /** How many of `ids` the decoder may attend to. */
  readonly attended: number;
  /** float32 [1, image tokens, vision hidden size] */
  readonly image: Tensor<"float32">;
  /** The picture's keys and values, where they are at hand: see `imageKeysValues`. */
  readonly keysValues: Tensor | undefined;
}

/** Reads questions in the light of pictures: what a model's way of doing so is, is chosen when it is loaded. */
export interface QuestionEncoder {
  /**
   * What the decoder attends to, for each question.
   * @throws NeuronBlipError `EXECUTION_FAILED`, `DISPOSED`; `ABORTED`, between calls of the model.
   */
  encode(questions: readonly Question[], signal?: AbortSignal): Promise<EncoderRow[]>;
  /** What reading computes of a picture alone, where that can be kept: [layers, 2, heads, image tokens, head size]. */
  imageKeysValues?(imageEmbeds: Tensor<"float32">): Promise<Tensor>;
}
