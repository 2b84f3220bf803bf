import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import type { TextAboutImage } from "../blip/question-encoder.js";
import type { TokenIds } from "../blip/token-ids.js";
import type { ImageEncoder } from "../images/image-encoder.js";
import type { ImageFeatures } from "../images/image-features.js";
import type { BlipProcessor } from "../processing/blip-processor.js";
import type { BatchQueue } from "../serving/batch-queue.js";
import type { Job } from "../serving/job.js";
import type { Tensor } from "../torch/tensor.js";

/** A replica of whatever class. */
export type AnyModel = NeuronBlipPreTrainedModel;

/** A loaded model, as its tasks use it. */
export interface LoadedModel<Model extends AnyModel = AnyModel> {
  readonly processor: BlipProcessor;
  readonly queue: BatchQueue<Model>;
  readonly images: ImageEncoder;
  /** The most rows of a batch, and whether idle replicas share them. */
  readonly batch: { readonly limit: number; readonly splits: boolean };
  /** Whether the model draws tokens where a call does not say. */
  readonly samples: boolean;
  /** Any replica, to ask what they have in common. */
  readonly replica: Model;
  /** How much it has generated since it was loaded. */
  readonly generated: { tokens: number };
}

/** One picture with its text, as a replica takes them; `keyValues` while it runs, where the picture's are there. */
export interface PreparedPair extends TextAboutImage {
  /** Its index in the call's list. */
  readonly place: number;
  readonly features: ImageFeatures;
  keyValues: Tensor | undefined;
}

/** The token ids of a picture that has no text. */
export const NO_TEXT: TokenIds = { ids: [], length: 0, paddedLength: 0 };

/** What is to be done with pairs. */
export type PairJob<Model extends AnyModel, T> = Job<Model, PreparedPair, T>;
