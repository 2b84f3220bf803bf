import { throwIfAborted } from "../errors.js";
import type { Part } from "../torch/part.js";
import { batchesOf, rowsOf, stackRows, type Tensor } from "../torch/tensor.js";
import { checkInput, type ShapePattern, tensorFrom } from "../torch/torch-values.js";
import { InFlight } from "../util/concurrency.js";
import { traceStage } from "../util/diagnostics.js";
import type { BlipConfig } from "./blip-config.js";
import type { ImageShapes } from "./compiled-shapes.js";
import { partOf } from "./load-parts.js";
import { type LoadedReplica, releaseReplica } from "./load-replicas.js";

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
   * Encodes a batch of pictures.
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

/** What the replicas of every head have in common: the vision model, a native thread, and an end. */
export abstract class NeuronBlipPreTrainedModel<Shapes extends ImageShapes = ImageShapes> implements AsyncDisposable {
  readonly config: BlipConfig;
  readonly shapes: Shapes;
  readonly visionModel: VisionModelWrapper;
  /** Computes what reading a text needs of a picture alone, where the model reads texts together with pictures and keeps that. */
  imageKeysValues?(imageEmbeds: Tensor<"float32">, signal?: AbortSignal): Promise<Tensor | undefined>;
  readonly #loaded: LoadedReplica;
  /** @internal Calls under way, which `dispose` waits for. */
  protected readonly calls = new InFlight("model");

  protected constructor(loaded: LoadedReplica, shapes: Shapes) {
    this.config = loaded.config;
    this.shapes = shapes;
    this.#loaded = loaded;
    this.visionModel =
      loaded.kind === "compiled"
        ? new VisionModelWrapper(partOf(loaded, "vision_model"), shapes)
        : new VisionModelWrapper(loaded.visionModel, { imageSize: loaded.interpolates ? "any" : shapes.imageSize });
  }

  /**
   * Encodes pictures; their embeddings can be asked about any number of times.
   * @param pixelValues float32 [n, 3, height, width].
   * @returns one float32 [1, image tokens, vision hidden size] for each picture.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  encodeImages(pixelValues: Tensor, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.calls.run(async () => {
      checkInput("pixelValues", pixelValues, "float32", 4);
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
