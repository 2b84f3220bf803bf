import { throwIfAborted } from "../errors.js";
import { batchesOf, rowsOf, stackRows } from "../torch/batch.js";
import type { Tensor } from "../torch/tensor.js";
import { checkRank } from "../torch/torch-values.js";
import { InFlight } from "../util/concurrency.js";
import { traceStage } from "../util/diagnostics.js";
import type { BlipConfig } from "./blip-config.js";
import type { ImageShapes } from "./compiled-shapes.js";
import { partOf } from "./load-parts.js";
import { type LoadedReplica, releaseReplica } from "./load-replicas.js";
import { VisionModelWrapper } from "./vision-model-wrapper.js";

/** What the replicas of every head have in common: the vision model, a native thread, and an end. */
export abstract class NeuronBlipPreTrainedModel<Shapes extends ImageShapes = ImageShapes> implements AsyncDisposable {
  readonly config: BlipConfig;
  readonly shapes: Shapes;
  readonly visionModel: VisionModelWrapper;
  /** Computes what reading a text needs of a picture alone, where the model reads texts in the light of pictures and keeps that. */
  imageKeysValues?(imageEmbeds: Tensor<"float32">, signal?: AbortSignal): Promise<Tensor | undefined>;
  readonly #loaded: LoadedReplica;
  /** @internal Calls under way, which `dispose` waits for. */
  protected readonly calls = new InFlight("model");

  protected constructor(loaded: LoadedReplica, shapes: Shapes) {
    this.config = loaded.config;
    this.shapes = shapes;
    this.#loaded = loaded;
    this.visionModel =
      loaded.kind === "compiled" ? new VisionModelWrapper(partOf(loaded, "vision_model"), shapes) : loaded.visionModel;
  }

  /**
   * Encodes pictures; their embeddings can be asked about any number of times.
   * @param pixelValues float32 [n, 3, height, width].
   * @returns one float32 [1, image tokens, vision hidden size] for each picture.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  encodeImages(pixelValues: Tensor, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.calls.run(async () => {
      checkRank("pixelValues", pixelValues, "float32", 4);
      const embeddings: Tensor<"float32">[] = [];
      // A checkpoint's is 1: on the CPU a batch of pictures takes no less time than each by itself.
      for (const { rows, size } of batchesOf(rowsOf(pixelValues), this.shapes.batchSizes)) {
        throwIfAborted(signal);
        const { lastHiddenState } = await traceStage("vision", () => this.visionModel.forward(stackRows(rows, size)));
        embeddings.push(...rowsOf(lastHiddenState, "own").slice(0, rows.length));
      }
      return embeddings;
    });
  }

  /** Frees the parts and ends the thread, after the work under way; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    return this.calls.close(() => releaseReplica(this.#loaded));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
