import { type Architecture, HEADS } from "../blip/heads.js";
import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import type { TextAboutImage } from "../blip/question-encoder.js";
import { NeuronBlipError } from "../errors.js";
import type { ImageEncoder } from "../images/image-encoder.js";
import type { BlipProcessor } from "../processing/blip-processor.js";
import type { Ticket } from "../serving/admission.js";
import type { BatchQueue, Job } from "../serving/batch-queue.js";
import type { Tensor } from "../torch/tensor.js";
import type { PreparedPair } from "./run-pairs.js";

type AnyModel = NeuronBlipPreTrainedModel;

/** A loaded model, as its tasks use it. */
export interface LoadedModel {
  readonly architecture: Architecture;
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
  call<T>(call: (ticket: Ticket) => Promise<T>): Promise<T>;
}

/** One of the classes of models. */
export interface ModelClass<Model> {
  readonly prototype: Model;
  [Symbol.hasInstance](value: unknown): boolean;
}

/**
 * A replica as the class that a task needs.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` for a model of another class.
 */
export function replicaAs<Model extends AnyModel>(
  { anyReplica, architecture }: LoadedModel,
  Class: ModelClass<Model>,
  needed: Architecture,
  task: string,
): Model {
  if (isOf(anyReplica, Class)) return anyReplica;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `${task} needs a ${needed}. This model is a ${architecture}: it can ${HEADS[architecture].can}.`,
  );
}

/** A job for replicas of one class, as the queue takes it. */
export function jobOf<Model extends AnyModel, Row, T>(
  Class: ModelClass<Model>,
  job: Job<Model, Row, T>,
): Job<AnyModel, Row, T> {
  return {
    ...job,
    work: (model, rows, signal) => {
      if (isOf(model, Class)) return job.work(model, rows, signal);
      throw new TypeError("The replicas of a model are of one class.");
    },
  };
}

function isOf<Model>(value: unknown, Class: ModelClass<Model>): value is Model {
  return value instanceof Class;
}

/** A pair's text and picture, as a replica takes them. */
export function textAboutImage({ text, features, keyValues }: PreparedPair): TextAboutImage {
  const { ids, length, paddedLength } = text ?? { ids: [], length: 0, paddedLength: 0 };
  return { ids, length, paddedLength, image: features.value.imageEmbeds, keyValues: keyValues?.value };
}

/** The embeddings of pairs' pictures. */
export function embedsOf(pairs: readonly PreparedPair[]): Tensor<"float32">[] {
  return pairs.map(({ features }) => features.value.imageEmbeds);
}

/** Keeps a pair's picture until its batch has ended, with what there is of it when that begins. */
export function holdPicture(pair: PreparedPair): () => void {
  const { features } = pair;
  features.retain();
  pair.keyValues = features.value.keyValues?.retain();
  return () => {
    pair.keyValues?.release();
    pair.keyValues = undefined;
    features.release();
  };
}
