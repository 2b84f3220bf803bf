import { throwIfAborted } from "../../../errors.js";
import { attentionMaskOf, batchesOf, paddedRows, rowArraysOf, stackRows, Tensor } from "../../../torch/tensor.js";
import { checkInput, tensorFrom } from "../../../torch/torch-values.js";
import { itemAt } from "../../../util/item-at.js";
import type { Matcher } from "../../matcher.js";
import type { TokenIds } from "../../token-ids.js";
import type { LoadedCheckpoint } from "./checkpoint.js";
import type { CachedQuestionEncoder } from "./question-encoder.js";

/** The most texts or pictures of one call. */
const ROWS_AT_ONCE = 64;

/** Matches by a checkpoint: texts about one picture are read together. */
export class CheckpointMatcher implements Matcher {
  readonly #checkpoint: LoadedCheckpoint;
  readonly #encoder: CachedQuestionEncoder;

  constructor(checkpoint: LoadedCheckpoint, encoder: CachedQuestionEncoder) {
    this.#checkpoint = checkpoint;
    this.#encoder = encoder;
  }

  async matchLogits(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const questions = texts.map((text, i) => {
      return { ...text, attended: text.length, image: itemAt(images, i), keyValues: undefined };
    });
    // Of each text the head takes the first token alone.
    const firsts = (await this.#encoder.encode(questions, signal)).map(({ hiddenStates }) => {
      const [, , width = 0] = hiddenStates.shape;
      return Tensor.view(hiddenStates.data.subarray(0, width), [1, 1, width], "float32");
    });
    return this.#run("image_text_matching", firsts, signal, (slice) => [stackRows(slice, slice.length)]);
  }

  imageFeatures(images: readonly Tensor<"float32">[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.#run("image_projection", images, signal, (slice) => {
      const stacked = stackRows(slice, slice.length);
      checkInput("imageEmbeds", stacked, "float32", [slice.length, "any", this.#checkpoint.shapes.visionHiddenSize]);
      return [stacked];
    });
  }

  textFeatures(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { padTokenId } = this.#checkpoint.config;
    return this.#run("text_projection", texts, signal, (slice) => {
      const ids = slice.map((text) => text.ids);
      const lengths = slice.map(({ length }) => length);
      const width = Math.max(...lengths);
      return [paddedRows(ids, width, padTokenId), attentionMaskOf(lengths, width)];
    });
  }

  async #run<Row>(
    name: "image_text_matching" | "image_projection" | "text_projection",
    rows: readonly Row[],
    signal: AbortSignal | undefined,
    inputsOf: (slice: readonly Row[]) => Tensor[],
  ): Promise<Float32Array[]> {
    const results: Float32Array[] = [];
    for (const { rows: slice } of batchesOf(rows, [ROWS_AT_ONCE])) {
      throwIfAborted(signal);
      const { headFunctions, textFunctions } = this.#checkpoint;
      const output = await (name === "text_projection" ? textFunctions : headFunctions).call(name, inputsOf(slice));
      results.push(...rowArraysOf(tensorFrom(output, name, 0, this.#checkpoint.directory)));
    }
    return results;
  }
}
