import { Tensor } from "../torch/tensor.js";
import { traceStage } from "../util/diagnostics.js";
import type { ModelDirectory } from "../util/model-path.js";
import { checkGivenLengths, checkLengths, type ImageShapes, imageShapes, tooLong } from "./compiled-shapes.js";
import { partOf, type ReplicaOptions, readReplicaOptions } from "./load-parts.js";
import { type LoadedReplica, loadReplica, releaseReplica } from "./load-replicas.js";
import type { Matcher } from "./matcher.js";
import { type ImageTensors, imageRows, type TextTensors, tokenIdsOf } from "./model-inputs.js";
import { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";
import { CheckpointMatcher } from "./parts/checkpoint/matcher.js";
import { CachedQuestionEncoder } from "./parts/checkpoint/question-encoder.js";
import { CompiledMatcher } from "./parts/compiled/matcher.js";
import type { TokenIds } from "./token-ids.js";

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
  readonly #matcher: Matcher;

  private constructor(loaded: LoadedReplica, shapes: RetrievalShapes) {
    super(loaded, shapes);
    if (loaded.kind === "checkpoint") {
      this.#matcher = new CheckpointMatcher(loaded, new CachedQuestionEncoder(loaded.textEncoder(), this.config));
      return;
    }
    const parts = {
      matching: partOf(loaded, "image_text_matching"),
      imageProjection: partOf(loaded, "image_projection"),
      textProjection: partOf(loaded, "text_projection"),
    };
    this.#matcher = new CompiledMatcher(parts, shapes, this.config);
  }

  /**
   * Loads a replica from a checkpoint's directory, for the CPU, or from one that `neuron-blip compile` wrote.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: ModelDirectory,
    given: ReplicaOptions = {},
  ): Promise<NeuronBlipForImageTextRetrieval> {
    const options = readReplicaOptions(given);
    return NeuronBlipForImageTextRetrieval.fromParts(
      await loadReplica(directory, "BlipForImageTextRetrieval", options),
      options,
    );
  }

  /** @internal Takes over what is loaded; frees it where its parts do not fit each other. */
  static async fromParts(loaded: LoadedReplica, options: ReplicaOptions): Promise<NeuronBlipForImageTextRetrieval> {
    try {
      if (loaded.kind === "checkpoint") return new NeuronBlipForImageTextRetrieval(loaded, loaded.shapes);
      const questionLength = loaded.manifest?.question_length ?? options.questionLength ?? 0;
      checkGivenLengths(options, loaded.config);
      checkLengths(options, { questionLength });
      return new NeuronBlipForImageTextRetrieval(loaded, {
        ...imageShapes(loaded.config, loaded.manifest),
        questionLength,
      });
    } catch (error) {
      await releaseReplica(loaded);
      throw error;
    }
  }

  /**
   * Tells whether texts describe pictures, by the matching head, which reads each text together with its picture.
   * @returns for each row the logits of "no" and "yes", float32 [1, 2].
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  matchLogits(inputs: ImageTensors & TextTensors, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.calls.run(async () => {
      const texts = tokenIdsOf(inputs, this.config.padTokenId);
      const images = await imageRows(inputs, texts.length, (pixelValues) => this.encodeImages(pixelValues, signal));
      this.#check(texts);
      return (await traceStage("encoder", () => this.#matcher.matchLogits(texts, images, signal))).map(toRow);
    });
  }

  /** @internal Matches as `matchLogits`, but token ids, each with its picture's embeddings. */
  matchRows(
    texts: readonly TokenIds[],
    images: readonly Tensor<"float32">[],
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    return this.calls.run(async () => {
      this.#check(texts);
      return traceStage("encoder", () => this.#matcher.matchLogits(texts, images, signal));
    });
  }

  /**
   * Projects pictures into the space that they share with texts.
   * @param imageEmbeds one float32 [1, image tokens, vision hidden size] for each picture, from `encodeImages`.
   * @returns one float32 [1, projection size] of length 1 for each.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  async getImageFeatures(imageEmbeds: readonly Tensor[], signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return (await this.imageFeaturesOf(imageEmbeds, signal)).map(toRow);
  }

  /** @internal Projects as `getImageFeatures`. */
  imageFeaturesOf(imageEmbeds: readonly Tensor[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.calls.run(async () => {
      const rows = await imageRows({ imageEmbeds }, imageEmbeds.length, async () => []);
      return this.#matcher.imageFeatures(rows, signal);
    });
  }

  /**
   * Projects texts into the space that they share with pictures. They are read without any picture.
   * @returns one float32 [1, projection size] of length 1 for each.
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  getTextFeatures(inputs: TextTensors, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.calls.run(async () => {
      const texts = tokenIdsOf(inputs, this.config.padTokenId);
      this.#check(texts);
      return (await traceStage("encoder", () => this.#matcher.textFeatures(texts, signal))).map(toRow);
    });
  }

  /** @internal Projects as `getTextFeatures`, but token ids. */
  textFeaturesOf(texts: readonly TokenIds[], signal?: AbortSignal): Promise<Float32Array[]> {
    return this.calls.run(async () => {
      this.#check(texts);
      return traceStage("encoder", () => this.#matcher.textFeatures(texts, signal));
    });
  }

  #check(texts: readonly TokenIds[]): void {
    const { questionLength } = this.shapes;
    for (const [i, { length }] of texts.entries()) {
      if (length > questionLength)
        throw tooLong("INPUT_TOO_LONG", `Question ${i}`, length, questionLength, "question", this.shapes);
    }
  }
}

/** Makes a tensor of one row. */
function toRow(values: Float32Array): Tensor<"float32"> {
  return Tensor.from(values, [1, values.length]);
}
