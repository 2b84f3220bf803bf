import "./wiring.js";
import type { EventEmitter } from "node:events";
import type { Architecture } from "./blip/heads.js";
import { NeuronBlipForQuestionAnswering, type RankingPart } from "./blip/neuron-blip-for-question-answering.js";
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import { readOptions, throwIfAborted } from "./errors.js";
import type { EncodedImage, Picture } from "./images/encoded-image.js";
import { ImageEncoder } from "./images/image-encoder.js";
import { type Loaded, load, picturesOf } from "./load.js";
import type { NeuronBlipOptions } from "./options.js";
import type { BlipProcessor } from "./processing/blip-processor.js";
import type { ImageSource } from "./processing/image-source.js";
import { BatchQueue } from "./serving/batch-queue.js";
import { type Recovery, type ReplicaEvents, Replicas } from "./serving/replicas.js";
import type { NeuronBlipStats } from "./serving/stats.js";
import { type AnswerOptions, answer } from "./tasks/answer.js";
import { type CaptionOptions, caption } from "./tasks/caption.js";
import type { CallOptions } from "./tasks/encode-text.js";
import type { LoadedModel } from "./tasks/loaded-model.js";
import { type MatchOptions, match } from "./tasks/match.js";
import { type RankAnswerOptions, rank } from "./tasks/rank.js";
import type { Answer, Caption, Match, RankedAnswer } from "./tasks/results.js";
import { type SimilarityOptions, similarity } from "./tasks/similarity.js";
import { type StreamOptions, stream } from "./tasks/stream.js";
import { checkModel, type ResultFor } from "./tasks/task.js";
import { replicaFailureOf } from "./torch/neuron/neuron-error.js";
import { tellOfReplica } from "./util/diagnostics.js";
import { emitterOf } from "./util/events.js";
import type { ModelDirectory } from "./util/model-path.js";

/** Rows of a batch, where the parts take any number. */
const DEFAULT_BATCH_SIZE = 16;

const ReplicaEmitter = emitterOf<ReplicaEvents>();

/**
 * BLIP: pictures and questions in, answers out; or captions, or how well texts match, by what the model was trained for.
 *
 * ```ts
 * await using blip = await NeuronBlip.fromPretrained("Salesforce/blip-vqa-base");
 * const { answer, score } = await blip.answer("dog.jpg", "how many dogs are in the picture?");
 * ```
 */
export class NeuronBlip extends ReplicaEmitter implements AsyncDisposable {
  readonly processor: BlipProcessor;
  /** transformers' class of the model. */
  readonly architecture: Architecture;
  readonly #replicas: Replicas<NeuronBlipPreTrainedModel>;
  readonly #model: LoadedModel;

  private constructor({ processor, architecture, models, recovery, onNeuron, samples, options }: Loaded) {
    super();
    this.processor = processor;
    this.architecture = architecture;
    const emit: Recovery<NeuronBlipPreTrainedModel>["emit"] = (name, ...event) => {
      tellOfReplica({ event: name, ...event[0] });
      (this as unknown as EventEmitter).emit(name, ...event);
    };
    this.#replicas = new Replicas(models, { ...recovery, emit, failureOf: replicaFailureOf });

    const { callsInFlight = 2, maxBatchSize, maxBatchDelayMs, maxQueueLength = 1000, pictureCache = true } = options;
    const replica = this.#replicas.one;
    const { batchSizes, imageTokens, visionHiddenSize, dynamicBatch } = replica.shapes;
    const largest = dynamicBatch ? (maxBatchSize ?? DEFAULT_BATCH_SIZE) : Math.max(...batchSizes);
    const batch = { limit: Math.min(largest, maxBatchSize ?? largest), splits: dynamicBatch };
    const mayWait = typeof maxQueueLength === "number" ? maxQueueLength : maxQueueLength.perReplica * models.length;
    const queue = new BatchQueue(this.#replicas, {
      // On a NeuronCore the tokens of one batch are chosen while others run; the cores of a CPU would only be divided.
      batchesInHand: onNeuron ? callsInFlight + 1 : 1,
      ...(maxBatchDelayMs !== undefined && { maxDelayMs: maxBatchDelayMs }),
      maxLength: mayWait,
    });
    const images = new ImageEncoder(processor.imageProcessor, queue, {
      // A CPU encodes one picture as fast as each of several.
      batchSize: onNeuron ? batch.limit : dynamicBatch ? 1 : Math.min(...batchSizes),
      shape: [1, imageTokens, visionHiddenSize],
      cache: pictureCache === true ? {} : pictureCache,
      sources: picturesOf(options),
    });
    this.#model = { processor, queue, images, batch, samples, replica, generated: { tokens: 0 } };
  }

  /**
   * Loads a model: a directory, of a checkpoint or of compiled parts (see NeuronBlipForQuestionAnswering.fromPretrained), or where
   * there is no such directory one of the Hugging Face Hub by its name, which is fetched where the cache lacks it. Its config.json
   * says which of BLIP's models it is: for question answering, captions (BlipForConditionalGeneration) or matching
   * (BlipForImageTextRetrieval). An aborted `signal` ends the fetching and the loading.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
   * `INVALID_INPUT`, `ABORTED`, or why the addon does not load; of a name on the Hub also `HUB_ACCESS_DENIED`, `HUB_UNREACHABLE`,
   * `HUB_OFFLINE`, `DISK_FULL` and `CACHE_NOT_WRITABLE`.
   */
  static async fromPretrained(directory: ModelDirectory, options: NeuronBlipOptions = {}): Promise<NeuronBlip> {
    return new NeuronBlip(await load(directory, options));
  }

  /** Returns the number of replicas. */
  get numModels(): number {
    return this.#replicas.size;
  }

  /** Tells what the model has to do now, and has done since it was loaded. It costs next to nothing: ask as often as you like. */
  stats(): NeuronBlipStats {
    const { queue, images, generated } = this.#model;
    return {
      callsWaiting: queue.waiting,
      callsRunning: queue.running,
      maxQueueLength: queue.maxLength,
      replicas: this.#replicas.states,
      replicaFailures: this.#replicas.failures,
      ...queue.done,
      generatedTokens: generated.tokens,
      pictureCache: images.cacheStats,
    };
  }

  /** Returns the most tokens of an answer or a caption, those of a prompt included; undefined where the model makes none. */
  get answerLength(): number | undefined {
    const { shapes } = this.#model.replica;
    return "answerLength" in shapes && typeof shapes.answerLength === "number" ? shapes.answerLength : undefined;
  }

  /** Names the part that scores `rank`'s candidates: with "text_decoder_all_positions" (compile with `--rank`) in fewer calls. */
  get rankingPart(): RankingPart {
    const model: LoadedModel = this.#model;
    checkModel(model, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "rank");
    return model.replica.rankingPart;
  }

  /**
   * Answers a question about a picture; several about the same, which is encoded once; or one about each of several pictures.
   * Calls that wait at the same time run together where their options are equal and have no functions: see `maxBatchSize`.
   * @returns an answer for a question; answers in order for a list; with `settled`, each with its own result or error.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`,
   * `ARTIFACT_MISMATCH` for a model that does not answer questions, `DISPOSED`, `ABORTED`, `QUEUE_FULL`. After each, the next
   * call works.
   */
  answer(image: Picture, question: string, options?: AnswerOptions): Promise<Answer>;
  answer(
    images: Picture | readonly Picture[],
    questions: string | readonly string[],
    options: AnswerOptions & { settled: true },
  ): Promise<PromiseSettledResult<Answer>[]>;
  answer(
    images: Picture | readonly Picture[],
    questions: string | readonly string[],
    options?: AnswerOptions,
  ): Promise<Answer[]>;
  answer(
    images: Picture | readonly Picture[],
    questions: string | readonly string[],
    options: AnswerOptions = {},
  ): Promise<ResultFor<Answer>> {
    return answer(this.#model, images, questions, options);
  }

  /**
   * Describes a picture, or several.
   * @throws NeuronBlipError as `answer`; `ARTIFACT_MISMATCH` for a model that does not make captions.
   */
  caption(image: Picture, options?: CaptionOptions): Promise<Caption>;
  caption(
    images: readonly Picture[],
    options: CaptionOptions & { settled: true },
  ): Promise<PromiseSettledResult<Caption>[]>;
  caption(images: readonly Picture[], options?: CaptionOptions): Promise<Caption[]>;
  caption(images: Picture | readonly Picture[], options: CaptionOptions = {}): Promise<ResultFor<Caption>> {
    return caption(this.#model, images, options);
  }

  /**
   * Gives the text of an answer, or of a caption, piece by piece as it is generated; the pieces together are the whole.
   * Leaving the loop stops the generation.
   *
   * ```ts
   * for await (const piece of blip.stream("dog.jpg", "what is the dog doing?")) process.stdout.write(piece);
   * ```
   * @param text a question, or, of a captioning model, the prompt.
   * @throws NeuronBlipError as `answer` and `caption`, and `INVALID_INPUT` for beams and several sequences.
   */
  stream(image: Picture, text?: string, options: StreamOptions = {}): AsyncGenerator<string, void, void> {
    return stream(this.#model, image, text, options);
  }

  /**
   * Ranks given answers to a question by how likely the model finds them, as the original BLIP's `inference="rank"`: the `k`
   * whose first tokens are most probable are scored whole.
   * @returns all candidates, the best first, each with its probability among them.
   * @throws NeuronBlipError as `answer`.
   */
  rank(
    image: Picture,
    question: string,
    candidates: readonly string[],
    options: RankAnswerOptions = {},
  ): Promise<RankedAnswer[]> {
    return rank(this.#model, image, question, candidates, options);
  }

  /**
   * Says whether a text describes a picture, by the matching head, which reads the text together with the picture; for a list of
   * texts, or of pictures, as `answer`.
   * @throws NeuronBlipError as `answer`; `ARTIFACT_MISMATCH` for a model that does not match.
   */
  match(image: Picture, text: string, options?: MatchOptions): Promise<Match>;
  match(
    images: Picture | readonly Picture[],
    texts: string | readonly string[],
    options: MatchOptions & { settled: true },
  ): Promise<PromiseSettledResult<Match>[]>;
  match(
    images: Picture | readonly Picture[],
    texts: string | readonly string[],
    options?: MatchOptions,
  ): Promise<Match[]>;
  match(
    images: Picture | readonly Picture[],
    texts: string | readonly string[],
    options: MatchOptions = {},
  ): Promise<ResultFor<Match>> {
    return match(this.#model, images, texts, options);
  }

  /**
   * Says how alike pictures and texts are, each read without the other: the cosines of their features. For searching among many;
   * `match` judges a pair better.
   * @returns a list for each picture, with a number from -1 to 1 for each text.
   * @throws NeuronBlipError as `match`.
   */
  similarity(
    images: readonly Picture[],
    texts: readonly string[],
    options: SimilarityOptions = {},
  ): Promise<number[][]> {
    return similarity(this.#model, images, texts, options);
  }

  /**
   * Encodes a picture once, to ask about it often. Of a checkpoint, what its text encoder needs of the
   * picture is computed now, too, and kept with it: 42 MB for 384 x 384 pixels, 21 MB in bfloat16.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`,
   * `QUEUE_FULL`.
   */
  async encodeImage(image: ImageSource, options: CallOptions & { signal?: AbortSignal } = {}): Promise<EncodedImage> {
    const { signal, callId } = readOptions(options, "encodeImage", ["signal", "callId"]);
    throwIfAborted(signal);
    const { queue, images } = this.#model;
    return queue.admit({ task: "encodeImage", callId }, (ticket) => images.encodeToKeep(image, { signal, ticket }));
  }

  /** Frees every replica after the work under way; later calls get `DISPOSED`. May be called twice. */
  async dispose(): Promise<void> {
    const { queue, images } = this.#model;
    await queue.close();
    images.dispose();
    await this.#replicas.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
