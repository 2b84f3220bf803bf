import { throwIfAborted } from "../errors.js";
import type { ModelDirectory } from "../model-directory.js";
import { batchesOf, ownRowsOf, stackRows } from "../runtime/batch.js";
import { checkInput, tensorFrom } from "../runtime/check.js";
import type { CompiledPart } from "../runtime/compiled-part.js";
import { Tensor } from "../tensor.js";
import { checkGivenLengths, checkLengths, type ImageShapes, imageShapes } from "./compiled-shapes.js";
import type { PartName } from "./heads.js";
import {
  type LoadedParts,
  loadParts,
  partOf,
  type ReplicaOptions,
  readReplicaOptions,
  releaseParts,
} from "./load-parts.js";
import { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";
import { checkTextLength, type ImageTensors, imageRows, paddedRow, type TextTensors, textRows } from "./text-rows.js";

/** What the parts of a retrieval model were compiled for. */
export interface RetrievalShapes extends ImageShapes {
  /** The most tokens of a text, [CLS] and [SEP] included. */
  readonly questionLength: number;
}

/**
 * One replica of BLIP for matching pictures and texts: the compiled parts, on one native thread, after transformers'
 * `BlipForImageTextRetrieval.forward`.
 */
export class NeuronBlipForImageTextRetrieval extends NeuronBlipPreTrainedModel<RetrievalShapes> {
  readonly #matching: CompiledPart;
  readonly #imageProjection: CompiledPart;
  readonly #textProjection: CompiledPart;

  private constructor(loaded: LoadedParts, shapes: RetrievalShapes) {
    super(loaded, shapes);
    const part = (name: PartName) => partOf(loaded, name);
    this.#matching = part("image_text_matching");
    this.#imageProjection = part("image_projection");
    this.#textProjection = part("text_projection");
  }

  /**
   * Loads a replica from a model directory that `neuron-blip compile` wrote.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: ModelDirectory,
    given: ReplicaOptions = {},
  ): Promise<NeuronBlipForImageTextRetrieval> {
    const options = readReplicaOptions(given);
    return NeuronBlipForImageTextRetrieval.fromParts(
      await loadParts(directory, "BlipForImageTextRetrieval", options),
      options,
    );
  }

  /** @internal Takes over parts that are loaded; frees them where they do not fit each other. */
  static async fromParts(loaded: LoadedParts, options: ReplicaOptions): Promise<NeuronBlipForImageTextRetrieval> {
    try {
      const questionLength = loaded.manifest?.question_length ?? options.questionLength ?? 0;
      checkGivenLengths(options, loaded.config);
      checkLengths(options, { questionLength });
      return new NeuronBlipForImageTextRetrieval(loaded, {
        ...imageShapes(loaded.config, loaded.manifest),
        questionLength,
      });
    } catch (error) {
      await releaseParts(loaded);
      throw error;
    }
  }

  /**
   * Whether texts describe pictures, by the matching head, which reads each text in the light of its picture.
   * @returns for each row the logits of "no" and "yes", float32 [1, 2].
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  matchLogits(inputs: ImageTensors & TextTensors, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.whileAlive(async () => {
      const texts = this.#texts(inputs);
      const images = await imageRows(inputs, texts.length, (pixelValues) => this.encodeImages(pixelValues, signal));
      const { imageTokens, visionHiddenSize } = this.shapes;
      return this.#run(this.#matching, "itm_logits", texts, signal, (slice, size, first) => {
        const imageEmbeds = stackRows(images.slice(first, first + slice.length), size);
        checkInput("imageEmbeds", imageEmbeds, "float32", [size, imageTokens, visionHiddenSize]);
        const imageAttentionMask = Tensor.zeros("int64", [size, imageTokens]);
        imageAttentionMask.data.fill(1n);
        return [...stackTexts(slice, size), imageEmbeds, imageAttentionMask];
      });
    });
  }

  /**
   * Pictures in the space that they share with texts.
   * @param imageEmbeds one float32 [1, image tokens, vision hidden size] for each picture, from `encodeImages`.
   * @returns one float32 [1, projection size] of length 1 for each.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  getImageFeatures(imageEmbeds: readonly Tensor[], signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.whileAlive(async () => {
      const rows = await imageRows({ imageEmbeds }, imageEmbeds.length, async () => []);
      return this.#run(this.#imageProjection, "image_features", rows, signal, (slice, size) => [
        stackRows(slice, size),
      ]);
    });
  }

  /**
   * Texts in the space that they share with pictures, read without any.
   * @returns one float32 [1, projection size] of length 1 for each.
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  getTextFeatures(inputs: TextTensors, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.whileAlive(async () => {
      return this.#run(this.#textProjection, "text_features", this.#texts(inputs), signal, (slice, size) =>
        stackTexts(slice, size),
      );
    });
  }

  /** Runs rows through a part's compiled batch size. */
  async #run<Row>(
    part: CompiledPart,
    output: string,
    rows: readonly Row[],
    signal: AbortSignal | undefined,
    inputsOf: (slice: readonly Row[], size: number, first: number) => Tensor[],
  ): Promise<Tensor<"float32">[]> {
    const results: Tensor<"float32">[] = [];
    for (const { rows: slice, size } of batchesOf(rows, this.shapes.batchSizes)) {
      throwIfAborted(signal);
      const found = tensorFrom(await part.forward(inputsOf(slice, size, results.length)), output, 0, part.path);
      results.push(...ownRowsOf(found).slice(0, slice.length));
    }
    return results;
  }

  #texts(inputs: TextTensors) {
    const { padTokenId } = this.config;
    return textRows(inputs, padTokenId).map((row, i) => {
      checkTextLength(i, row.real, this.shapes.questionLength);
      return paddedRow(row, row.real, this.shapes.questionLength, padTokenId);
    });
  }
}

function stackTexts(rows: readonly { inputIds: Tensor; attentionMask: Tensor }[], size: number): [Tensor, Tensor] {
  return [
    stackRows(
      rows.map(({ inputIds }) => inputIds),
      size,
    ),
    stackRows(
      rows.map(({ attentionMask }) => attentionMask),
      size,
    ),
  ];
}
