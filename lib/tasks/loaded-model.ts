import { type Architecture, HEADS } from "../blip/heads.js";
import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import type { TextAboutImage } from "../blip/question-encoder.js";
import type { TokenIds } from "../blip/token-ids.js";
import { NeuronBlipError } from "../errors.js";
import type { ImageEncoder } from "../images/image-encoder.js";
import type { ImageFeatures } from "../images/image-features.js";
import type { BlipProcessor } from "../processing/blip-processor.js";
import type { Ticket } from "../serving/admission.js";
import type { BatchQueue } from "../serving/batch-queue.js";
import type { Tensor } from "../torch/tensor.js";
import type { CallTask } from "../util/diagnostics.js";
import type { RefCounted } from "../util/ref-counted.js";

/** A replica of whatever class. */
export type AnyModel = NeuronBlipPreTrainedModel;

/** A loaded model, as its tasks use it. */
export interface LoadedModel {
  readonly processor: BlipProcessor;
  readonly queue: BatchQueue<AnyModel>;
  readonly images: ImageEncoder;
  /** The most rows of a batch, and whether idle replicas share them. */
  readonly batch: { readonly limit: number; readonly splits: boolean };
  /** Whether the model draws tokens where a call does not say. */
  readonly samples: boolean;
  /** Any replica, to ask what they have in common. */
  readonly anyReplica: AnyModel;
  /** Runs a call: `dispose` waits for it, and it may be refused. @throws NeuronBlipError `DISPOSED`, `QUEUE_FULL`. */
  call<T>(name: CallName, call: (ticket: Ticket) => Promise<T>): Promise<T>;
  /** Counts tokens that were generated. */
  countTokens(count: number): void;
}

/** What a call is known by to who listens. */
export interface CallName {
  readonly task: CallTask;
  readonly callId?: string | undefined;
}

/** One of the classes of models, whose constructors are private. */
interface ModelClass<Model> extends NewableFunction {
  readonly prototype: Model;
}

/**
 * Gives a replica as the class that a task needs.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` for a model of another class.
 */
export function replicaAs<Model extends AnyModel>(
  replica: AnyModel,
  Class: ModelClass<Model>,
  needed: Architecture,
  task: string,
): Model {
  if (replica instanceof Class) return replica;
  const { architecture } = replica.config;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `${task} needs a ${needed}. This model is a ${architecture}: it can ${HEADS[architecture].can}.`,
  );
}

/** One picture with its text, ready for a replica. */
export interface PreparedPair {
  /** Its index in the call's list. */
  readonly place: number;
  readonly features: ImageFeatures;
  /** While it runs: the picture's keys and values, where they are there. */
  keyValues?: RefCounted<Tensor> | undefined;
  readonly text: TokenIds | undefined;
}

/** A pair's text and picture, as a replica takes them. */
export function textAboutImage({ text, features, keyValues }: PreparedPair): TextAboutImage {
  const { ids, length, paddedLength } = text ?? { ids: [], length: 0, paddedLength: 0 };
  return { ids, length, paddedLength, image: features.imageEmbeds, keyValues: keyValues?.value };
}

/** The embeddings of pairs' pictures. */
export function embedsOf(pairs: readonly PreparedPair[]): Tensor<"float32">[] {
  return pairs.map(({ features }) => features.imageEmbeds);
}

/** Keeps a pair's picture until its batch has ended, with what there is of it when that begins. */
export function holdPicture(pair: PreparedPair): () => void {
  const { features } = pair;
  features.retain();
  pair.keyValues = features.keyValues?.retain();
  return () => {
    pair.keyValues?.release();
    pair.keyValues = undefined;
    features.release();
  };
}
