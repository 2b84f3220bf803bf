import { NeuronBlipError, throwIfAborted } from "../../../errors.js";
import type { Part } from "../../../torch/part.js";
import { attentionMaskOf, batchesOf, paddedRows, rowArraysOf, stackRows, Tensor } from "../../../torch/tensor.js";
import { checkInput, tensorFrom } from "../../../torch/torch-values.js";
import { itemAt } from "../../../util/item-at.js";
import type { Matcher } from "../../matcher.js";
import type { TokenIds } from "../../token-ids.js";

/** The compiled parts of a retrieval model. */
export interface MatchingParts {
  readonly matching: Part;
  readonly imageProjection: Part;
  readonly textProjection: Part;
}

interface Shapes {
  readonly batchSizes: readonly number[];
  readonly questionLength: number;
  readonly imageTokens: number;
  readonly visionHiddenSize: number;
}

/** Matches by compiled parts, in their batch sizes and length. */
export class CompiledMatcher implements Matcher {
  readonly #parts: MatchingParts;
  readonly #shapes: Shapes;
  readonly #padTokenId: number;

  constructor(parts: MatchingParts, shapes: Shapes, { padTokenId }: { padTokenId: number }) {
    this.#parts = parts;
    this.#shapes = shapes;
    this.#padTokenId = padTokenId;
  }

  async matchLogits(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const { imageTokens, visionHiddenSize } = this.#shapes;
    return this.#run(this.#parts.matching, "itm_logits", texts, signal, (slice, size, first) => {
      const imageEmbeds = stackRows(images.slice(first, first + slice.length), size);
      checkInput("imageEmbeds", imageEmbeds, "float32", [size, imageTokens, visionHiddenSize]);
      const imageAttentionMask = Tensor.zeros("int64", [size, imageTokens]);
      imageAttentionMask.data.fill(1n);
      return [...this.#textTensors(slice, size), imageEmbeds, imageAttentionMask];
    });
  }

  imageFeatures(images: readonly Tensor<"float32">[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.#run(this.#parts.imageProjection, "image_features", images, signal, (slice, size) => [
      stackRows(slice, size),
    ]);
  }

  textFeatures(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.#run(this.#parts.textProjection, "text_features", texts, signal, (slice, size) =>
      this.#textTensors(slice, size),
    );
  }

  /** Runs rows through a part's compiled batch sizes. */
  async #run<Row>(
    part: Part,
    output: string,
    rows: readonly Row[],
    signal: AbortSignal | undefined,
    inputsOf: (slice: readonly Row[], size: number, first: number) => Tensor[],
  ): Promise<Float32Array[]> {
    const results: Float32Array[] = [];
    for (const { rows: slice, size } of batchesOf(rows, this.#shapes.batchSizes)) {
      throwIfAborted(signal);
      const found = tensorFrom(await part.forward(inputsOf(slice, size, results.length)), output, 0, part.path);
      if (found.shape[0] !== size) {
        throw new NeuronBlipError(
          "ARTIFACT_MISMATCH",
          `"${part.path}" returned ${output} of [${found.shape.join(", ")}] for ${size} rows: it is not the part that its name says.`,
        );
      }
      results.push(...rowArraysOf(found).slice(0, slice.length));
    }
    return results;
  }

  /** Makes a batch of texts: where rows are missing, the last text again, whose result is ignored. */
  #textTensors(texts: readonly TokenIds[], size: number): [inputIds: Tensor, attentionMask: Tensor] {
    const { questionLength } = this.#shapes;
    const rows = Array.from({ length: size }, (_, i) => itemAt(texts, Math.min(i, texts.length - 1)));
    return [
      paddedRows(
        rows.map(({ ids }) => ids),
        questionLength,
        this.#padTokenId,
      ),
      attentionMaskOf(
        rows.map(({ length }) => length),
        questionLength,
      ),
    ];
  }
}
