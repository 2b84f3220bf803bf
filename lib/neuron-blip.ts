import { availableParallelism } from "node:os";
import {
  checkModelDirectory,
  type GenerateOptions,
  NeuronBlipForQuestionAnswering,
  type ReplicaOptions,
} from "./blip/neuron-blip-for-question-answering.js";
import { NeuronBlipError, throwIfAborted } from "./errors.js";
import type { GeneratedSequence } from "./generation/greedy-search.js";
import { BlipProcessor } from "./processing/blip-processor.js";
import type { ImageSource } from "./processing/load-image.js";
import { InFlight } from "./runtime/in-flight.js";
import type { Tensor } from "./tensor.js";

export interface NeuronBlipOptions extends ReplicaOptions {
  /** How many cores of the CPU each replica may use. Default: an equal share. */
  threads?: number;
  /** How many replicas to load; requests go to the least busy one. Default 1. */
  numModels?: number;
  /** A directory with the tokenizer's files, where the model directory has none (the tutorial's). */
  tokenizer?: string;
  /** The most pixels that a picture may declare before it is decoded. Default 89,478,485, as Pillow. */
  maxPixels?: number;
}

export interface AnswerOptions extends GenerateOptions {
  /** Cut a question that is longer than the compiled length, instead of throwing `INPUT_TOO_LONG`. Default false. */
  truncation?: boolean;
}

export interface Answer {
  answer: string;
  /** The answer's probability, from 0 to 1: the product of its tokens' probabilities. */
  score: number;
  /** The sum of the natural logarithms of its tokens' probabilities. */
  sumLogProbability: number;
  /** Their mean, which does not fall with the answer's length. */
  meanLogProbability: number;
  /** The tokens, from the decoder's start token to [SEP]. */
  tokenIds: number[];
}

/** A picture that has been looked at: ask about it as often as you like with `NeuronBlip.answer`. */
export class EncodedImage implements Disposable {
  /** float32 [1, image tokens, vision hidden size]. */
  readonly imageEmbeds: Tensor<"float32">;

  /** @internal */
  constructor(imageEmbeds: Tensor<"float32">) {
    this.imageEmbeds = imageEmbeds;
  }

  /** Gives the memory back now rather than when it is collected. */
  dispose(): void {
    this.imageEmbeds.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A replica and how many calls it has in hand. */
interface Replica {
  model: NeuronBlipForQuestionAnswering;
  busy: number;
}

/**
 * BLIP visual question answering: pictures and questions in, answers out.
 *
 * ```ts
 * await using blip = await NeuronBlip.fromPretrained("./blip-vqa-base-cpu");
 * const { answer, score } = await blip.answer("dog.jpg", "how many dogs are in the picture?");
 * ```
 */
export class NeuronBlip implements AsyncDisposable {
  readonly processor: BlipProcessor;
  readonly #replicas: Replica[];
  readonly #inFlight = new InFlight("model");

  private constructor(processor: BlipProcessor, models: readonly NeuronBlipForQuestionAnswering[]) {
    this.processor = processor;
    this.#replicas = models.map((model) => ({ model, busy: 0 }));
  }

  /**
   * Loads a model directory: see NeuronBlipForQuestionAnswering.fromPretrained.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
   * `INVALID_INPUT`, or why the addon does not load.
   */
  static async fromPretrained(directory: string, options: NeuronBlipOptions = {}): Promise<NeuronBlip> {
    const { numModels = 1, tokenizer, maxPixels, ...replicaOptions } = options;
    if (!Number.isSafeInteger(numModels) || numModels < 1) {
      throw new NeuronBlipError("INVALID_INPUT", `numModels must be a whole number >= 1, not ${numModels}.`);
    }
    // Replicas must not compete for cores.
    const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / numModels));
    await checkModelDirectory(directory);
    // Before the models, because it is quick to fail.
    const processor = await BlipProcessor.fromPretrained(directory, {
      ...(tokenizer !== undefined && { tokenizer }),
      ...(maxPixels !== undefined && { maxPixels }),
    });
    const models: NeuronBlipForQuestionAnswering[] = [];
    try {
      for (let i = 0; i < numModels; i++) {
        // The files are the same for every replica: once verified is enough.
        const verify = i === 0 && options.verify !== false;
        models.push(
          await NeuronBlipForQuestionAnswering.fromPretrained(directory, { ...replicaOptions, threads, verify }),
        );
      }
      return new NeuronBlip(processor, models);
    } catch (error) {
      await Promise.all(models.map((model) => model.dispose()));
      throw error;
    }
  }

  /** How many replicas there are. */
  get numModels(): number {
    return this.#replicas.length;
  }

  /**
   * Answers a question about a picture, or several about the same, looking at it once.
   * @param image a path, a `file:` URL, a Buffer of a file, a Jimp instance, raw pixels, or the result of `encodeImage`.
   * @returns an answer for a question; answers in order for a list.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`,
   * `DISPOSED`, `ABORTED`. After each, the next call works.
   */
  answer(image: ImageSource | EncodedImage, question: string, options?: AnswerOptions): Promise<Answer>;
  answer(image: ImageSource | EncodedImage, questions: readonly string[], options?: AnswerOptions): Promise<Answer[]>;
  async answer(
    image: ImageSource | EncodedImage,
    question: string | readonly string[],
    options?: AnswerOptions,
  ): Promise<Answer | Answer[]> {
    const questions = typeof question === "string" ? [question] : question;
    if (!Array.isArray(questions))
      throw new NeuronBlipError("INVALID_INPUT", "A question is a string, or an array of them.");
    const answers = await this.#inFlight.run(() => this.#answer(image, questions, options ?? {}));
    return typeof question === "string" ? (answers[0] as Answer) : answers;
  }

  async #answer(
    image: ImageSource | EncodedImage,
    questions: readonly string[],
    { truncation = false, ...generateOptions }: AnswerOptions,
  ): Promise<Answer[]> {
    throwIfAborted(generateOptions.signal);
    if (questions.length === 0) return [];
    // Questions first: they fail at no cost.
    const text = this.processor.processText(questions, { maxLength: this.#shapes.questionLength, truncation });
    const own = image instanceof EncodedImage ? undefined : await this.#encodeImage(image, generateOptions.signal);
    try {
      const { imageEmbeds } = own ?? (image as EncodedImage);
      const sequences = await this.#onLeastBusy((model) => model.generate({ ...text, imageEmbeds }, generateOptions));
      return sequences.map((sequence) => this.#toAnswer(sequence));
    } finally {
      own?.dispose();
    }
  }

  /**
   * Looks at a picture once, to ask about it often.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  encodeImage(image: ImageSource, { signal }: { signal?: AbortSignal } = {}): Promise<EncodedImage> {
    return this.#inFlight.run(() => this.#encodeImage(image, signal));
  }

  async #encodeImage(image: ImageSource, signal?: AbortSignal): Promise<EncodedImage> {
    throwIfAborted(signal);
    using pixelValues = await this.processor.processImages(image, signal ? { signal } : {});
    const [imageEmbeds] = await this.#onLeastBusy((model) => model.encodeImages(pixelValues, signal));
    return new EncodedImage(imageEmbeds as Tensor<"float32">);
  }

  /** Frees every replica after the work under way; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    return this.#inFlight.close(async () => {
      await Promise.all(this.#replicas.map(({ model }) => model.dispose()));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  get #shapes() {
    return (this.#replicas[0] as Replica).model.shapes;
  }

  async #onLeastBusy<T>(work: (model: NeuronBlipForQuestionAnswering) => Promise<T>): Promise<T> {
    const replica = this.#replicas.reduce((least, other) => (other.busy < least.busy ? other : least));
    replica.busy++;
    try {
      return await work(replica.model);
    } finally {
      replica.busy--;
    }
  }

  #toAnswer({ tokenIds, sumLogProbability, meanLogProbability }: GeneratedSequence): Answer {
    return {
      answer: this.processor.decode(tokenIds),
      score: Math.exp(sumLogProbability),
      sumLogProbability,
      meanLogProbability,
      tokenIds,
    };
  }
}
