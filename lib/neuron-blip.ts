import type { EventEmitter } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import {
  type Answer,
  bestOf,
  type Caption,
  type GeneratedText,
  type Match,
  type RankedAnswer,
  toMatch,
} from "./answers.js";
import { type BlipConfig, readBlipConfig } from "./blip/blip-config.js";
import { tooLong } from "./blip/compiled-shapes.js";
import { type Architecture, HEADS } from "./blip/heads.js";
import type {
  CaptionGenerateOptions,
  NeuronBlipForConditionalGeneration,
} from "./blip/neuron-blip-for-conditional-generation.js";
import type { NeuronBlipForImageTextRetrieval } from "./blip/neuron-blip-for-image-text-retrieval.js";
import type {
  GenerateOptions,
  NeuronBlipForQuestionAnswering,
  RankingPart,
  RankOptions,
} from "./blip/neuron-blip-for-question-answering.js";
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import { pictureSizeOf } from "./blip/parts/checkpoint/load-checkpoint.js";
import { weightFilesOf } from "./blip/parts/checkpoint/weight-files.js";
import { cosineSteps, packed } from "./cosines.js";
import type { EncodedImage, Picture } from "./encoded-image.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "./errors.js";
import { emitterOf } from "./events.js";
import type { GeneratedSequence } from "./generation/generated-sequence.js";
import { readGenerationDefaults } from "./generation/generation-defaults.js";
import type { RankedSequence } from "./generation/ranking.js";
import { TextStreamer } from "./generation/text-streamer.js";
import { splitHubOptions, withoutRevision } from "./hub/hub-options.js";
import { loadModels, replicaCount } from "./load-models.js";
import { type NeuronBlipOptions, readLoadingOptions } from "./loading-options.js";
import { directoryOf, holdsCompiledParts, type ModelDirectory } from "./model-directory.js";
import { replicaFailureOf } from "./neuron/neuron-error.js";
import {
  type Encode,
  type EncodedText,
  encodeSteps,
  fulfilled,
  PAIRS_AT_ONCE,
  type PairLists,
  type PairOptions,
  type PreparedPair,
  runPairs,
} from "./pairs.js";
import { Pictures } from "./pictures.js";
import {
  BlipProcessor,
  type PictureOptions,
  type ProcessTextOptions,
  stackTexts,
  type TextInputs,
} from "./processing/blip-processor.js";
import type { ImageSource } from "./processing/image-source.js";
import { warmUpDecoding } from "./processing/load-image.js";
import { snapshotBytes } from "./processing/open-picture.js";
import { either } from "./runtime/abort.js";
import { BatchQueue, type Job, type RunOptions } from "./runtime/batch-queue.js";
import { InFlight } from "./runtime/in-flight.js";
import { type Recovery, type ReplicaEvents, Replicas } from "./runtime/replicas.js";
import { TorchModule } from "./runtime/torch-module.js";
import { WaitingLine } from "./runtime/waiting-line.js";
import type { Tensor } from "./tensor.js";
import { type Together, together } from "./together.js";
import { inTurns } from "./turns.js";
import { shown } from "./values.js";

export interface TextOptions {
  /** Cut a text that is longer than the compiled length, instead of throwing `INPUT_TOO_LONG`. Default false. */
  truncation?: boolean;
}

export interface SettledOption {
  /**
   * For lists: give every item's own result or error, as Promise.allSettled does, instead of throwing where one fails. The errors'
   * stacks have no frames.
   * Default false.
   */
  settled?: boolean;
}

export interface AnswerOptions extends GenerateOptions, TextOptions, SettledOption {}

export interface CaptionOptions extends CaptionGenerateOptions, SettledOption {
  /** What the caption begins with, such as "a picture of". Default: nothing. */
  prompt?: string;
}

export interface RankAnswerOptions extends RankOptions, TextOptions {}

export interface MatchOptions extends TextOptions, SettledOption {
  /** Checked between steps. */
  signal?: AbortSignal;
}

type AnyModel = NeuronBlipPreTrainedModel;

interface ModelOf {
  BlipForQuestionAnswering: NeuronBlipForQuestionAnswering;
  BlipForConditionalGeneration: NeuronBlipForConditionalGeneration;
  BlipForImageTextRetrieval: NeuronBlipForImageTextRetrieval;
}

/** What fromPretrained has made. */
interface Loaded {
  processor: BlipProcessor;
  architecture: Architecture;
  models: readonly AnyModel[];
  recovery: Pick<Recovery<AnyModel>, "reload" | "delayMs" | "maxAttempts">;
  /** Whether the parts run on NeuronCores. */
  onNeuron: boolean;
  samples: boolean;
  options: NeuronBlipOptions;
}

/** A prompt is read to its end up to so many tokens, so that its error can say how many it has. */
const LONGEST_PROMPT = 512;

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
  readonly #replicas: Replicas<AnyModel>;
  readonly #queue: BatchQueue<AnyModel>;
  readonly #pictures: Pictures;
  readonly #line: WaitingLine;
  /** The most rows of a batch, and whether idle replicas share them. */
  readonly #batch: Pick<Job<AnyModel, unknown, unknown>, "limit" | "splits">;
  /** Whether the model draws tokens where a call does not say. */
  readonly #samples: boolean;
  readonly #inFlight = new InFlight("model");

  private constructor({ processor, architecture, models, recovery, onNeuron, samples, options }: Loaded) {
    super();
    this.processor = processor;
    this.architecture = architecture;
    this.#samples = samples;
    const emit: Recovery<AnyModel>["emit"] = (name, ...event) =>
      void (this as unknown as EventEmitter).emit(name, ...event);
    this.#replicas = new Replicas(models, { ...recovery, emit, failureOf: replicaFailureOf });

    const { callsInFlight = 2, maxBatchSize, maxBatchDelayMs, maxQueueLength = 1000, pictureCache = true } = options;
    const { shapes } = this.#replicas.one;
    const { batchSizes, imageTokens, visionHiddenSize } = shapes;
    const anyBatch = "anyBatch" in shapes && shapes.anyBatch === true;
    const largest = anyBatch ? (maxBatchSize ?? DEFAULT_BATCH_SIZE) : (batchSizes.at(-1) as number);
    this.#batch = { limit: Math.min(largest, maxBatchSize ?? largest), splits: anyBatch };
    this.#line = new WaitingLine(maxQueueLength);
    this.#queue = new BatchQueue(this.#replicas, {
      // On a NeuronCore the tokens of one batch are chosen while others run; the cores of a CPU would only be divided.
      batchesInHand: onNeuron ? callsInFlight + 1 : 1,
      ...(maxBatchDelayMs !== undefined && { maxDelayMs: maxBatchDelayMs }),
    });
    this.#pictures = new Pictures(processor, this.#queue, {
      // A CPU looks at one picture as fast as at each of several.
      batchSize: onNeuron ? this.#batch.limit : anyBatch ? 1 : (batchSizes[0] as number),
      shape: [1, imageTokens, visionHiddenSize],
      cache: pictureCache === true ? {} : pictureCache,
      sources: picturesOf(options),
    });
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
  static async fromPretrained(given: ModelDirectory, loading: NeuronBlipOptions = {}): Promise<NeuronBlip> {
    const options = readLoadingOptions(loading);
    const { numModels = 1, tokenizer, reloadDelayMs = 1000, maxReloadAttempts = 5, ...rest } = options;
    const [hub, replicaOptions] = splitHubOptions(rest);
    const { signal } = hub;
    const { size } = options;
    const directory = await directoryOf(given, hub, "model");
    // Before the models, because they are quick to fail.
    const config = await readBlipConfig(directory);
    const { architecture } = config;
    const isCompiled = await holdsCompiledParts(directory);
    if (!isCompiled) await weightFilesOf(directory);
    const processor = await BlipProcessor.fromPretrained(directory, {
      ...(tokenizer !== undefined && { tokenizer: await directoryOf(tokenizer, withoutRevision(hub)) }),
      ...(size !== undefined && { size: pictureSizeOf(config, options) }),
      ...picturesOf(options),
    });
    checkProcessor(processor, config, directory, size !== undefined);
    const count = await replicaCount(directory, numModels, options);
    // Replicas must not compete for cores.
    const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / count));
    const load = (replicas: readonly number[], verify: boolean, signal?: AbortSignal) =>
      loadModels(directory, architecture, replicas, { ...replicaOptions, threads, verify }, signal);
    // Where it cannot be read, loading it says why.
    const onNeuron =
      isCompiled && (await TorchModule.usesNeuron(join(directory, "vision_model.pt")).catch(() => false));
    const { doSample: samples = false } = await readGenerationDefaults(
      join(directory, "generation_config.json"),
      config.vocabSize,
    );
    // What is wrong with it, the first picture tells.
    if (options.warmUp !== false) void warmUpDecoding().catch(() => {});
    const models = await load(
      Array.from({ length: count }, (_, i) => i),
      options.verify !== false,
      signal,
    );
    const reload = async (replica: number) => (await load([replica], false))[0] as AnyModel;
    const recovery = { reload, delayMs: reloadDelayMs, maxAttempts: maxReloadAttempts };
    return new NeuronBlip({ processor, architecture, models, recovery, onNeuron, samples, options });
  }

  /** How many replicas there are. */
  get numModels(): number {
    return this.#replicas.size;
  }

  /** The part that scores `rank`'s candidates: with "text_decoder_all_positions" (compile with `--rank`) in fewer calls. */
  get rankingPart(): RankingPart {
    return this.#replicasOf("BlipForQuestionAnswering", "rank").one.rankingPart;
  }

  /**
   * Answers a question about a picture; several about the same, looking at it once; or one about each of several pictures.
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
  async answer(
    images: Picture | readonly Picture[],
    questions: string | readonly string[],
    given: AnswerOptions = {},
  ): Promise<Answer | Answer[] | PromiseSettledResult<Answer>[]> {
    const { settled, truncation = false, signal, ...options } = readOptions(given, "answer");
    const replicas = this.#replicasOf("BlipForQuestionAnswering", "answer");
    const { questionLength: maxLength } = replicas.one.shapes;
    const pairOptions = { settled, signal, encode: this.#encode({ maxLength, truncation }) };
    const plan = together(options, this.#samples);
    return this.#forEach({ images, texts: questions }, pairOptions, (pairs, run) => {
      const job: Job<NeuronBlipForQuestionAnswering, PreparedPair, GeneratedSequence[]> = {
        ...this.#generation(plan, pairs),
        work: (model, share, batchSignal) =>
          model.generateRows(this.#withTexts(share), { ...plan.options, signal: batchSignal }, placesOf(share)),
      };
      const toAnswer = (text: GeneratedText): Answer => ({ answer: this.processor.decode(text.tokenIds), ...text });
      return mapped(this.#queueOf(replicas).run(pairs, job, run), (sequences) => bestOf(sequences, toAnswer));
    });
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
  async caption(
    images: Picture | readonly Picture[],
    given: CaptionOptions = {},
  ): Promise<Caption | Caption[] | PromiseSettledResult<Caption>[]> {
    const { settled, prompt, signal, ...options } = readOptions(given, "caption");
    const replicas = this.#replicasOf("BlipForConditionalGeneration", "caption");
    const texts = prompt === "" ? undefined : prompt;
    const { shapes } = replicas.one;
    const { answerLength } = shapes;
    const encode = (text: string) =>
      encodeWithin(this.processor, text, { maxLength: Math.max(LONGEST_PROMPT, answerLength) + 2 }, (shown) => {
        return tooLong("INVALID_INPUT", `The prompt ${shown}`, undefined, answerLength, "answer", shapes);
      });
    const pairOptions = { settled, signal, encode: texts === undefined ? undefined : encode };
    const plan = together(options, this.#samples);
    return this.#forEach({ images, texts }, pairOptions, (pairs, run) => {
      const job: Job<NeuronBlipForConditionalGeneration, PreparedPair, GeneratedSequence[]> = {
        ...this.#generation(plan, pairs),
        work: (model, share, batchSignal) => {
          const inputs = texts === undefined ? embedsOf(share) : this.#withTexts(share);
          return model.generateRows(inputs, { ...plan.options, signal: batchSignal }, placesOf(share));
        },
      };
      const toCaption = (text: GeneratedText): Caption => ({ caption: this.processor.decode(text.tokenIds), ...text });
      return mapped(this.#queueOf(replicas).run(pairs, job, run), (sequences) => bestOf(sequences, toCaption));
    });
  }

  /**
   * The text of an answer, or of a caption, piece by piece as it is generated; the pieces together are the whole.
   * Leaving the loop stops the generation.
   *
   * ```ts
   * for await (const piece of blip.stream("dog.jpg", "what is the dog doing?")) process.stdout.write(piece);
   * ```
   * @param text a question, or, of a captioning model, the prompt.
   * @throws NeuronBlipError as `answer` and `caption`, and `INVALID_INPUT` for beams and several sequences.
   */
  async *stream(
    image: Picture,
    text?: string,
    given: Omit<GenerateOptions, "streamer"> & TextOptions = {},
  ): AsyncGenerator<string, void, void> {
    const options = readOptions(given, "stream");
    if ("streamer" in options && options.streamer !== undefined) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        "stream gives the pieces itself: give a streamer to answer or caption.",
      );
    }
    throwIfAborted(options.signal);
    const pieces = new PassThrough({ objectMode: true });
    const left = new AbortController();
    const { signal, stop } = either(options.signal, left);
    const streamer = new TextStreamer(this.processor, { callbackFunction: (piece) => pieces.write(piece) });
    const generation =
      this.architecture === "BlipForConditionalGeneration"
        ? this.caption(image, { ...options, signal, streamer, ...(text !== undefined && { prompt: text }) })
        : this.answer(image, text as string, { ...options, signal, streamer });
    const ended = generation.then(
      () => pieces.end(),
      (error) => pieces.destroy(error),
    );
    try {
      yield* pieces;
    } finally {
      stop();
      left.abort();
      await ended;
    }
  }

  /**
   * Ranks given answers to a question by how likely the model finds them, as the original BLIP's `inference="rank"`: the `k`
   * whose first tokens are most probable are scored whole.
   * @returns all candidates, the best first, each with its probability among them.
   * @throws NeuronBlipError as `answer`.
   */
  async rank(
    image: Picture,
    question: string,
    candidates: readonly string[],
    rankOptions: RankAnswerOptions = {},
  ): Promise<RankedAnswer[]> {
    const { truncation = false, signal, ...options } = readOptions(rankOptions, "rank");
    const replicas = this.#replicasOf("BlipForQuestionAnswering", "rank");
    const { questionLength: maxLength } = replicas.one.shapes;
    if (!Array.isArray(candidates) || candidates.length === 0) {
      throw new NeuronBlipError("INVALID_INPUT", "Give the candidates as an array of one or more strings.");
    }
    throwIfAborted(signal);
    const given: string[] = candidates.slice();
    const picture = snapshotBytes(image);
    const tokenIds = await inTurns(this.#candidateSteps(given), signal);
    const pairOptions = { signal, encode: this.#encode({ maxLength, truncation }) };
    // Written out, V8 soon allocates what will live long where it is not moved; with `...ranked` it does not.
    const toAnswer = ({ index, probability, logLikelihood, firstTokenProbability }: RankedSequence): RankedAnswer => {
      return { answer: given[index] as string, index, probability, logLikelihood, firstTokenProbability };
    };
    const job: Job<NeuronBlipForQuestionAnswering, PreparedPair, RankedAnswer[]> = {
      key: undefined,
      limit: 1,
      work: async (model, pairs, jobSignal) => [
        await model.rankAs(this.#withTexts(pairs), tokenIds, { ...options, signal: jobSignal }, toAnswer),
      ],
      hold: holdPicture,
    };
    const ranked = await this.#forEach({ images: picture, texts: question }, pairOptions, (pairs, run) =>
      this.#queueOf(replicas).run(pairs, job, run),
    );
    return ranked as RankedAnswer[];
  }

  /**
   * Whether a text describes a picture, by the matching head, which reads the text in the light of the picture; for a list of
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
  async match(
    images: Picture | readonly Picture[],
    texts: string | readonly string[],
    options: MatchOptions = {},
  ): Promise<Match | Match[] | PromiseSettledResult<Match>[]> {
    const names = ["settled", "truncation", "signal"] as const;
    const { settled, truncation = false, signal } = readOptions(options, "match", names);
    const replicas = this.#replicasOf("BlipForImageTextRetrieval", "match");
    const { questionLength: maxLength } = replicas.one.shapes;
    const pairOptions = { settled, signal, encode: this.#encode({ maxLength, truncation }) };
    const job: Job<NeuronBlipForImageTextRetrieval, PreparedPair, Tensor<"float32">> = {
      ...this.#batch,
      key: "match",
      work: (model, share, batchSignal) => model.matchLogits(this.#withTexts(share), batchSignal),
      hold: holdPicture,
    };
    return this.#forEach({ images, texts }, pairOptions, (pairs, run) =>
      mapped(this.#queueOf(replicas).run(pairs, job, run), ({ data }) => toMatch(data)),
    );
  }

  /**
   * How alike pictures and texts are, each read without the other: the cosines of their features. For searching among many;
   * `match` judges a pair better.
   * @returns a list for each picture, with a number from -1 to 1 for each text.
   * @throws NeuronBlipError as `match`.
   */
  async similarity(
    images: readonly Picture[],
    texts: readonly string[],
    options: Omit<MatchOptions, "settled"> = {},
  ): Promise<number[][]> {
    const { truncation = false, signal } = readOptions(options, "similarity", ["truncation", "signal"]);
    const replicas = this.#replicasOf("BlipForImageTextRetrieval", "similarity");
    const { questionLength: maxLength } = replicas.one.shapes;
    if (!Array.isArray(images) || !Array.isArray(texts)) {
      throw new NeuronBlipError("INVALID_INPUT", "similarity takes an array of pictures and an array of texts.");
    }
    const queue = this.#queueOf(replicas);
    const imageJob: Job<NeuronBlipForImageTextRetrieval, PreparedPair, Tensor<"float32">> = {
      ...this.#batch,
      key: "image features",
      work: (model, share, batchSignal) => model.getImageFeatures(embedsOf(share).imageEmbeds, batchSignal),
      hold: holdPicture,
    };
    const textJob: Job<NeuronBlipForImageTextRetrieval, EncodedText, Tensor<"float32">> = {
      ...this.#batch,
      key: "text features",
      work: (model, share, batchSignal) => model.getTextFeatures(this.#stack(share), batchSignal),
    };
    return this.#begin(async (onBegin) => {
      throwIfAborted(signal);
      if (texts.length === 0) return images.map(() => []);
      const given = texts.slice();
      const list = { count: given.length, text: (place: number) => given[place] as string };
      const encoded = await inTurns(
        encodeSteps(list, this.#encode({ maxLength, truncation }), (_, error) => {
          throw error;
        }),
        signal,
      );
      const run = { signal, onBegin };
      const pairs: PairLists = { images, texts: undefined };
      const imageFeatures = await runPairs(pairs, this.#pictures, { ...run, encode: undefined }, (portion) =>
        queue.run(portion, imageJob, run),
      );
      // Each portion's in one array: so many would take long to collect, and the tensors that they are views of, too.
      const textFeatures: Float32Array[] = [];
      for (let at = 0; at < given.length; at += PAIRS_AT_ONCE) {
        const count = Math.min(PAIRS_AT_ONCE, given.length - at);
        const portion = Array.from({ length: count }, (_, i) => encoded?.(at + i) as EncodedText);
        textFeatures.push(packed(await queue.runAll(portion, textJob, run)));
      }
      return inTurns(
        cosineSteps(
          imageFeatures.map((image) => fulfilled(image).data),
          textFeatures,
        ),
        signal,
      );
    });
  }

  /**
   * Looks at a picture once, to ask about it often. Of a checkpoint, what its text encoder needs of the
   * picture is computed now, too, and kept with it: 42 MB for 384 x 384 pixels, 21 MB in bfloat16.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`,
   * `QUEUE_FULL`.
   */
  encodeImage(image: ImageSource, options: { signal?: AbortSignal } = {}): Promise<EncodedImage> {
    return this.#begin(async (onBegin) => {
      const { signal } = readOptions(options, "encodeImage", ["signal"]);
      throwIfAborted(signal);
      return this.#pictures.encode(image, { signal, onBegin });
    });
  }

  /** Frees every replica after the work under way; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    return this.#inFlight.close(async () => {
      this.#queue.close();
      this.#pictures.dispose();
      await this.#replicas.dispose();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** A result for one pair; a list of results, or of outcomes, for lists. */
  async #forEach<T>(
    lists: PairLists,
    options: PairOptions,
    run: (pairs: readonly PreparedPair[], options: RunOptions) => Promise<PromiseSettledResult<T>[]>,
  ): Promise<T | T[] | PromiseSettledResult<T>[]> {
    const one = !Array.isArray(lists.images) && !Array.isArray(lists.texts);
    const settled = options.settled && !one;
    const outcomes = await this.#begin((onBegin) =>
      runPairs(lists, this.#pictures, { ...options, settled, onBegin }, (pairs) =>
        run(pairs, { signal: options.signal, settled, onBegin }),
      ),
    );
    if (one) return fulfilled(outcomes[0]);
    return settled ? outcomes : outcomes.map(fulfilled);
  }

  /** A call, which waits in line until a replica begins with it. */
  #begin<T>(call: (onBegin: () => void) => Promise<T>): Promise<T> {
    return this.#inFlight.run(() => this.#line.stand(call));
  }

  /** What jobs that generate have in common. */
  #generation(
    { options, key, callsBack }: Together<GenerateOptions>,
    pairs: readonly PreparedPair[],
  ): Omit<Job<AnyModel, PreparedPair, GeneratedSequence[]>, "work"> {
    // With "ones" the decoder sees the padding that the questions of one call have.
    const padded = options.questionMask === "ones" ? pairs[0]?.text?.width : 0;
    return {
      ...this.#batch,
      key: key && `${padded} ${key}`,
      callsBack,
      retry: options.streamer === undefined, // it has had tokens already
      hold: holdPicture,
    };
  }

  #withTexts(pairs: readonly PreparedPair[]): TextInputs & ReturnType<typeof embedsOf> {
    return { ...embedsOf(pairs), ...this.#stack(pairs.map(({ text }) => text as EncodedText)) };
  }

  /** Texts as one batch, padded to the longest of their calls. */
  #stack(texts: readonly EncodedText[]): TextInputs {
    const rows = texts.map(({ ids }) => ids);
    return stackTexts(rows, Math.max(...texts.map(({ width }) => width)), this.processor.tokenizer.padTokenId);
  }

  #queueOf<Model extends AnyModel>(_replicas: Replicas<Model>): BatchQueue<Model> {
    return this.#queue as unknown as BatchQueue<Model>;
  }

  /** The replicas, where they are of the class that a method needs. */
  #replicasOf<A extends Architecture>(architecture: A, method: string): Replicas<ModelOf[A]> {
    if (this.architecture !== architecture) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `${method} needs a ${architecture}. This model is a ${this.architecture}: it can ${HEADS[this.architecture].can}.`,
      );
    }
    return this.#replicas as unknown as Replicas<ModelOf[A]>;
  }

  #encode(options: ProcessTextOptions): Encode {
    return (text) => this.processor.encodeSteps(text, options);
  }

  /** Each candidate's tokens, from the decoder's start token to [SEP]. */
  *#candidateSteps(candidates: readonly string[]): Generator<void, number[][]> {
    const { config, shapes } = this.#replicasOf("BlipForQuestionAnswering", "rank").one;
    const { answerLength } = shapes;
    const tokenIds: number[][] = [];
    for (const candidate of candidates) {
      yield;
      const ids = yield* encodeWithin(this.processor, candidate, { maxLength: answerLength + 1 }, (shown) => {
        return tooLong("INPUT_TOO_LONG", `The candidate ${shown}`, undefined, answerLength, "answer", shapes);
      });
      ids[0] = config.bosTokenId;
      tokenIds.push(ids.slice()); // without the room that it has to grow
    }
    return tokenIds;
  }
}

/** @throws NeuronBlipError `ARTIFACT_MISMATCH` for pictures and tokens that the model does not take. */
function checkProcessor(
  { imageProcessor, tokenizer }: BlipProcessor,
  { imageSize, vocabSize }: BlipConfig,
  directory: string,
  hasOwnSize: boolean,
): void {
  const { width, height } = imageProcessor.outputSize;
  if (!hasOwnSize && (width !== imageSize || height !== imageSize)) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}": pictures are prepared in ${width} x ${height} pixels (preprocessor_config.json or processor_config.json), ` +
        `and the model takes ${imageSize} x ${imageSize} (image_size of config.json). Take both files from one model.`,
    );
  }
  const { vocabSize: tokens } = tokenizer;
  if (tokens <= vocabSize) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${directory}": the tokenizer has ${tokens} tokens, and the model ${vocabSize} (vocab_size of config.json). Take both from ` +
      "one model.",
  );
}

/** Encodes a text. @param tooLong makes the error of one that is too long, as its user knows the limit. */
function* encodeWithin(
  processor: BlipProcessor,
  text: string,
  options: ProcessTextOptions,
  tooLong: (shown: string) => NeuronBlipError,
): Generator<void, number[]> {
  try {
    return yield* processor.encodeSteps(text, options);
  } catch (error) {
    throw error instanceof NeuronBlipError && error.code === "INPUT_TOO_LONG" ? tooLong(shown(text)) : error;
  }
}

/** The pictures as a model takes them: what is kept of one is the same object in each of its rows. */
/** Those options that say how pictures may come. */
function picturesOf({ maxPixels, maxBytes, fetch, files }: NeuronBlipOptions): PictureOptions {
  return {
    ...(maxPixels !== undefined && { maxPixels }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(fetch !== undefined && { fetch }),
    ...(files !== undefined && { files }),
  };
}

function embedsOf(pairs: readonly PreparedPair[]): {
  imageEmbeds: Tensor<"float32">[];
  imageKeysValues: (Tensor | undefined)[];
} {
  return {
    imageEmbeds: pairs.map(({ picture }) => picture.value.imageEmbeds),
    imageKeysValues: pairs.map(({ keysValues }) => keysValues?.value),
  };
}

/** Keeps a pair's picture, with what there is of it when its batch begins. */
function holdPicture(pair: PreparedPair): () => void {
  const { picture } = pair;
  picture.retain();
  pair.keysValues = picture.value.keysValues?.retain();
  return () => {
    pair.keysValues?.release();
    pair.keysValues = undefined;
    picture.release();
  };
}

function placesOf(pairs: readonly PreparedPair[]): number[] {
  return pairs.map(({ place }) => place);
}

/** Results made of others; where that fails, it is that row's error. */
async function mapped<T, U>(
  outcomes: Promise<PromiseSettledResult<T>[]>,
  map: (value: T) => U,
): Promise<PromiseSettledResult<U>[]> {
  return Promise.allSettled((await outcomes).map(async (outcome) => map(fulfilled(outcome))));
}
