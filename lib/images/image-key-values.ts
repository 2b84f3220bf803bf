import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import { keyValuesPay } from "../blip/question-encoder.js";
import { throwIfAborted } from "../errors.js";
import type { BatchQueue, Job } from "../serving/batch-queue.js";
import type { Tensor } from "../torch/tensor.js";
import { untilAborted } from "../util/abort.js";
import { RefCounted } from "../util/ref-counted.js";
import type { FeatureCache } from "./image-features.js";
import { bytesOf, type ImageFeatures } from "./image-features.js";

/** Computes each picture's keys and values, one by one. */
const KEY_VALUES: Job<NeuronBlipPreTrainedModel, RefCounted<ImageFeatures>, Tensor | undefined> = {
  key: "keys and values",
  limit: 1,
  work: (model, rows, signal) =>
    Promise.all(rows.map(async ({ value }) => model.imageKeysValues?.(value.imageEmbeds, signal))),
  hold: (features) => {
    features.retain();
    return () => features.release();
  },
};

/**
 * Computes what the text encoder needs of a picture, whatever the question, once for all questions about it, where that pays; it is
 * kept with the picture's features.
 */
export class ImageKeyValues {
  readonly #queue: BatchQueue<NeuronBlipPreTrainedModel>;
  readonly #cache: FeatureCache | undefined;
  readonly #computing = new WeakMap<ImageFeatures, Promise<void>>();
  /** Whether the model has them: known once it was asked. */
  #exist = true;
  /** Of one picture; 0 until the first are there. */
  #bytes = 0;

  constructor(queue: BatchQueue<NeuronBlipPreTrainedModel>, cache: FeatureCache | undefined) {
    this.#queue = queue;
    this.#cache = cache;
  }

  /**
   * Computes them before texts about a picture, where those are many. Where that fails, the texts do without, or say why not.
   * @param lengths of the texts, in tokens.
   * @throws NeuronBlipError `ABORTED`.
   */
  async prepareFor(
    lengths: Iterable<number>,
    features: RefCounted<ImageFeatures>,
    signal?: AbortSignal,
  ): Promise<void> {
    if (!this.#exist || features.value.keyValues || !keyValuesPay(lengths)) return;
    await this.compute(features, signal).catch(() => throwIfAborted(signal));
  }

  /** Computes them in the background for a picture that was asked about again: it may well be a third time. */
  prepareForMore(features: RefCounted<ImageFeatures>): void {
    if (this.#cache?.wants(features, this.#bytes)) void this.compute(features).catch(() => {});
  }

  /**
   * Computes them, once for all that ask.
   * @throws NeuronBlipError `ABORTED`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  compute(features: RefCounted<ImageFeatures>, signal?: AbortSignal): Promise<void> {
    const { value } = features;
    if (!this.#exist || value.keyValues) return Promise.resolve();
    let computing = this.#computing.get(value);
    if (computing === undefined) {
      features.retain();
      computing = this.#run(features).finally(() => {
        this.#computing.delete(value);
        features.release();
      });
      this.#computing.set(value, computing);
    }
    return untilAborted(computing, signal);
  }

  async #run(features: RefCounted<ImageFeatures>): Promise<void> {
    const [keyValues] = await this.#queue.runAll([features], KEY_VALUES);
    if (keyValues === undefined) {
      this.#exist = false;
      return;
    }
    this.#bytes = bytesOf(keyValues);
    features.value.keep(new RefCounted(keyValues));
    this.#cache?.recount(features);
  }
}
