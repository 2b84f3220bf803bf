import { EventEmitter } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type Answer, bestOf, type Caption, type Match, type RankedAnswer, toMatch } from "./answers.js";
import { readBlipConfig } from "./blip/blip-config.js";
import { type Architecture, HEADS } from "./blip/heads.js";
import {
  checkModelDirectory,
  type LoadedParts,
  loadReplicas,
  type ReplicaOptions,
  releaseParts,
} from "./blip/load-parts.js";
import {
  type CaptionGenerateOptions,
  NeuronBlipForConditionalGeneration,
} from "./blip/neuron-blip-for-conditional-generation.js";
import { NeuronBlipForImageTextRetrieval } from "./blip/neuron-blip-for-image-text-retrieval.js";
import {
  type GenerateOptions,
  NeuronBlipForQuestionAnswering,
  type RankingPart,
  type RankOptions,
} from "./blip/neuron-blip-for-question-answering.js";
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import type { EncodedImage, Picture } from "./encoded-image.js";
import { checkOptions, NeuronBlipError, throwIfAborted } from "./errors.js";
import type { RankedSequence } from "./generation/ranking.js";
import { TextStreamer } from "./generation/text-streamer.js";
import { parseCores } from "./neuron/cores.js";
import { isCoreFailure } from "./neuron/neuron-error.js";
import { loadNeuronRuntime, visibleCores } from "./neuron/neuron-runtime.js";
import {
  encodeImages,
  fulfilled,
  type PairLists,
  type PairOptions,
  type PreparedPair,
  runPairs,
  stackTexts,
  textRowsOf,
} from "./pairs.js";
import { BlipProcessor, type TextInputs } from "./processing/blip-processor.js";
import type { ImageSource } from "./processing/load-image.js";
import { InFlight } from "./runtime/in-flight.js";
import { type Recovery, type ReplicaEvents, Replicas } from "./runtime/replicas.js";
import { TorchModule } from "./runtime/torch-module.js";
import type { Tensor } from "./tensor.js";

export interface NeuronBlipOptions extends ReplicaOptions {
  /** How many cores of the CPU each replica may use. Default: an equal share. */
  threads?: number;
  /**
   * How many replicas to load; requests go to the least busy one. "all": one for each NeuronCore that this process may use,
   * and 1 on the CPU. Default 1.
   */
  numModels?: number | "all";
  /**
   * Where a NeuronCore fails, its replica is taken out and loaded again after this pause, in ms, which doubles with each
   * attempt that fails, up to a minute. Default 1000.
   */
  reloadDelayMs?: number;
  /** A directory with the tokenizer's files, where the model directory has none (the tutorial's). */
  tokenizer?: string;
  /** The most pixels that a picture may declare before it is decoded. Default 89,478,485, as Pillow. */
  maxPixels?: number;
}

export interface TextOptions {
  /** Cut a text that is longer than the compiled length, instead of throwing `INPUT_TOO_LONG`. Default false. */
  truncation?: boolean;
}

export interface SettledOption {
  /**
   * For lists: give every item's own result or error, as Promise.allSettled does, instead of throwing where one fails.
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

const LOADING_OPTIONS: readonly (keyof NeuronBlipOptions)[] = [
  "numModels",
  "threads",
  "verify",
  "questionLength",
  "answerLength",
  "tokenizer",
  "maxPixels",
  "libtorchneuron",
  "cores",
  "callsInFlight",
  "reloadDelayMs",
];

/** What timers can wait: a day, amply. */
const LONGEST_RELOAD_DELAY_MS = 24 * 60 * 60 * 1000;

type AnyModel = NeuronBlipPreTrainedModel;

const MODELS: Readonly<
  Record<Architecture, { fromParts(loaded: LoadedParts, options: ReplicaOptions): Promise<AnyModel> }>
> = {
  BlipForQuestionAnswering: NeuronBlipForQuestionAnswering,
  BlipForConditionalGeneration: NeuronBlipForConditionalGeneration,
  BlipForImageTextRetrieval: NeuronBlipForImageTextRetrieval,
};

interface ModelOf {
  BlipForQuestionAnswering: NeuronBlipForQuestionAnswering;
  BlipForConditionalGeneration: NeuronBlipForConditionalGeneration;
  BlipForImageTextRetrieval: NeuronBlipForImageTextRetrieval;
}

/**
 * BLIP: pictures and questions in, answers out; or captions, or how well texts match, by what the model was trained for.
 *
 * ```ts
 * await using blip = await NeuronBlip.fromPretrained("./blip-vqa-base-cpu");
 * const { answer, score } = await blip.answer("dog.jpg", "how many dogs are in the picture?");
 * ```
 */
export class NeuronBlip extends EventEmitter<ReplicaEvents> implements AsyncDisposable {
  readonly processor: BlipProcessor;
  /** transformers' class of the model. */
  readonly architecture: Architecture;
  readonly #replicas: Replicas<AnyModel>;
  readonly #inFlight = new InFlight("model");

  private constructor(
    processor: BlipProcessor,
    architecture: Architecture,
    models: readonly AnyModel[],
    recovery: Pick<Recovery<AnyModel>, "reload" | "delayMs">,
  ) {
    super();
    this.processor = processor;
    this.architecture = architecture;
    const emit: Recovery<AnyModel>["emit"] = (name, ...event) => void (this as EventEmitter).emit(name, ...event);
    this.#replicas = new Replicas(models, { ...recovery, emit, isFailure: isCoreFailure });
  }

  /**
   * Loads a model directory: see NeuronBlipForQuestionAnswering.fromPretrained. Its config.json says which of BLIP's models
   * it is: for question answering, captions (BlipForConditionalGeneration) or matching (BlipForImageTextRetrieval).
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
   * `INVALID_INPUT`, or why the addon does not load.
   */
  static async fromPretrained(directory: string, options: NeuronBlipOptions = {}): Promise<NeuronBlip> {
    checkOptions(options, LOADING_OPTIONS, "fromPretrained");
    const { numModels = 1, tokenizer, maxPixels, reloadDelayMs = 1000, ...replicaOptions } = options;
    if (options.cores !== undefined) parseCores(options.cores);
    if (numModels !== "all" && !(Number.isSafeInteger(numModels) && numModels >= 1)) {
      throw new NeuronBlipError("INVALID_INPUT", `numModels must be a whole number >= 1 or "all", not ${numModels}.`);
    }
    if (typeof reloadDelayMs !== "number" || !(reloadDelayMs >= 0 && reloadDelayMs <= LONGEST_RELOAD_DELAY_MS)) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `reloadDelayMs must be a number of ms from 0 to ${LONGEST_RELOAD_DELAY_MS}, not ${reloadDelayMs}.`,
      );
    }
    await checkModelDirectory(directory);
    // Before the models, because they are quick to fail.
    const { architecture } = await readBlipConfig(directory);
    const processor = await BlipProcessor.fromPretrained(directory, {
      ...(tokenizer !== undefined && { tokenizer }),
      ...(maxPixels !== undefined && { maxPixels }),
    });
    const count = await replicaCount(directory, numModels, options);
    // Replicas must not compete for cores.
    const threads = options.threads ?? Math.max(1, Math.floor(availableParallelism() / count));
    const load = (replicas: readonly number[], verify: boolean) =>
      loadModels(directory, architecture, replicas, { ...replicaOptions, threads, verify });
    const models = await load(
      Array.from({ length: count }, (_, i) => i),
      options.verify !== false,
    );
    return new NeuronBlip(processor, architecture, models, {
      reload: async (replica) => (await load([replica], false))[0] as AnyModel,
      delayMs: reloadDelayMs,
    });
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
   * @returns an answer for a question; answers in order for a list; with `settled`, each with its own result or error.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`,
   * `ARTIFACT_MISMATCH` for a model that does not answer questions, `DISPOSED`, `ABORTED`. After each, the next call works.
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
    { settled, truncation = false, ...options }: AnswerOptions = {},
  ): Promise<Answer | Answer[] | PromiseSettledResult<Answer>[]> {
    const replicas = this.#replicasOf("BlipForQuestionAnswering", "answer");
    const { questionLength: maxLength, batchSizes } = replicas.one.shapes;
    const pairOptions = { settled, signal: options.signal, text: { maxLength, truncation } };
    return this.#forEach({ images, texts: questions }, pairOptions, async (pairs) => {
      const generated = await replicas.share(
        pairs,
        batchSizes,
        (model, share) => model.generateRows(withTexts(share), options, placesOf(share)),
        { retry: options.streamer === undefined, signal: options.signal }, // a streamer has had tokens already
      );
      return generated.map((sequences) =>
        bestOf(sequences, (text): Answer => ({ answer: this.processor.decode(text.tokenIds), ...text })),
      );
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
    { settled, prompt, ...options }: CaptionOptions = {},
  ): Promise<Caption | Caption[] | PromiseSettledResult<Caption>[]> {
    const replicas = this.#replicasOf("BlipForConditionalGeneration", "caption");
    const { batchSizes } = replicas.one.shapes;
    const texts = prompt === "" ? undefined : prompt;
    return this.#forEach(
      { images, texts },
      { settled, signal: options.signal, text: texts === undefined ? undefined : {} },
      async (pairs) => {
        const generated = await replicas.share(
          pairs,
          batchSizes,
          (model, share) =>
            model.generateRows(
              { ...embedsOf(share), ...(texts !== undefined && textsOf(share)) },
              options,
              placesOf(share),
            ),
          { retry: options.streamer === undefined, signal: options.signal },
        );
        return generated.map((sequences) =>
          bestOf(sequences, (text): Caption => ({ caption: this.processor.decode(text.tokenIds), ...text })),
        );
      },
    );
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
    options: Omit<GenerateOptions, "streamer"> & TextOptions = {},
  ): AsyncGenerator<string, void, void> {
    if ("streamer" in options && options.streamer !== undefined) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        "stream gives the pieces itself: give a streamer to answer or caption.",
      );
    }
    throwIfAborted(options.signal);
    const pieces = new PassThrough({ objectMode: true });
    const left = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, left.signal]) : left.signal;
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
    { truncation = false, ...options }: RankAnswerOptions = {},
  ): Promise<RankedAnswer[]> {
    const replicas = this.#replicasOf("BlipForQuestionAnswering", "rank");
    const { questionLength: maxLength } = replicas.one.shapes;
    if (!Array.isArray(candidates) || candidates.length === 0) {
      throw new NeuronBlipError("INVALID_INPUT", "Give the candidates as an array of one or more strings.");
    }
    const tokenIds = candidates.map((candidate) => this.#candidateIds(candidate));
    const pairOptions = { signal: options.signal, text: { maxLength, truncation } };
    const ranked = await this.#forEach({ images: image, texts: question }, pairOptions, async (pairs) => [
      await replicas.onLeastBusy((model) => model.rank(withTexts(pairs), tokenIds, options), {
        signal: options.signal,
      }),
    ]);
    return (ranked as RankedSequence[]).map((sequence) => {
      return { answer: candidates[sequence.index] as string, ...sequence };
    });
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
    checkOptions(options, ["settled", "truncation", "signal"], "match");
    const { settled, truncation = false, signal } = options;
    const replicas = this.#replicasOf("BlipForImageTextRetrieval", "match");
    const { questionLength: maxLength, batchSizes } = replicas.one.shapes;
    const pairOptions = { settled, signal, text: { maxLength, truncation } };
    return this.#forEach({ images, texts }, pairOptions, async (pairs) => {
      const logits = await replicas.share(
        pairs,
        batchSizes,
        (model, share) => model.matchLogits(withTexts(share), signal),
        { signal },
      );
      return logits.map(({ data }) => toMatch(data));
    });
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
    checkOptions(options, ["truncation", "signal"], "similarity");
    const { truncation = false, signal } = options;
    const replicas = this.#replicasOf("BlipForImageTextRetrieval", "similarity");
    const { questionLength: maxLength, batchSizes } = replicas.one.shapes;
    if (!Array.isArray(images) || !Array.isArray(texts)) {
      throw new NeuronBlipError("INVALID_INPUT", "similarity takes an array of pictures and an array of texts.");
    }
    return this.#inFlight.run(async () => {
      throwIfAborted(signal);
      if (texts.length === 0) return images.map(() => []);
      const inputs = textRowsOf(this.processor.processText(texts, { maxLength, truncation }));
      const pairs: PairLists = { images, texts: undefined };
      const imageFeatures = await runPairs(pairs, this.processor, replicas, { signal, text: undefined }, (portion) =>
        replicas.share(
          portion,
          batchSizes,
          (model, share) => model.getImageFeatures(embedsOf(share).imageEmbeds, signal),
          { signal },
        ),
      );
      const textFeatures = await replicas.share(
        inputs,
        batchSizes,
        (model, share) => model.getTextFeatures(stackTexts(share), signal),
        { signal },
      );
      return imageFeatures.map((image) => textFeatures.map((text) => dot(fulfilled(image).data, text.data)));
    });
  }

  /**
   * Looks at a picture once, to ask about it often.
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  encodeImage(image: ImageSource, options: { signal?: AbortSignal } = {}): Promise<EncodedImage> {
    return this.#inFlight.run(async () => {
      checkOptions(options, ["signal"], "encodeImage");
      const { signal } = options;
      throwIfAborted(signal);
      const [outcome] = await encodeImages([image], this.processor, this.#replicas, signal);
      return fulfilled(outcome);
    });
  }

  /** Frees every replica after the work under way; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    return this.#inFlight.close(() => this.#replicas.dispose());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** A result for one pair; a list of results, or of outcomes, for lists. */
  async #forEach<T>(
    lists: PairLists,
    options: PairOptions,
    run: (pairs: readonly PreparedPair[]) => Promise<readonly T[]>,
  ): Promise<T | T[] | PromiseSettledResult<T>[]> {
    const one = !Array.isArray(lists.images) && !Array.isArray(lists.texts);
    const settled = options.settled && !one;
    const outcomes = await this.#inFlight.run(() =>
      runPairs(lists, this.processor, this.#replicas, { ...options, settled }, run),
    );
    if (one) return fulfilled(outcomes[0]);
    return settled ? outcomes : outcomes.map(fulfilled);
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

  /** A candidate's tokens, from the decoder's start token to [SEP]. */
  #candidateIds(candidate: string): number[] {
    const { bosTokenId } = this.#replicas.one.config;
    const { inputIds } = this.processor.processText(candidate);
    return [bosTokenId, ...[...inputIds.data].slice(1).map(Number)];
  }
}

/** Loads replicas of a model; all or none. */
async function loadModels(
  directory: string,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<AnyModel[]> {
  const loaded = await loadReplicas(directory, architecture, replicas, options);
  const models: AnyModel[] = [];
  try {
    for (const parts of loaded) models.push(await MODELS[architecture].fromParts(parts, options));
    return models;
  } catch (error) {
    await Promise.all(models.map((model) => model.dispose()));
    await Promise.all(loaded.slice(models.length).map(releaseParts));
    throw error;
  }
}

/** @throws NeuronBlipError `NEURON_CORES_UNAVAILABLE` for more replicas than NeuronCores. */
async function replicaCount(
  directory: string,
  numModels: number | "all",
  { cores, libtorchneuron }: NeuronBlipOptions,
): Promise<number> {
  const path = join(directory, "vision_model.pt");
  if (numModels === 1 || !(await TorchModule.usesNeuron(path))) return numModels === "all" ? 1 : numModels;
  await loadNeuronRuntime(
    { ...(cores !== undefined && { cores }), ...(libtorchneuron !== undefined && { libtorchneuron }) },
    path,
  );
  const visible = visibleCores(cores);
  if (numModels !== "all" && (visible === undefined || numModels <= visible)) return numModels;
  if (numModels === "all" && visible !== undefined && visible > 0) return visible;
  throw new NeuronBlipError(
    "NEURON_CORES_UNAVAILABLE",
    visible === undefined
      ? "How many NeuronCores there are is not known, since libnrt.so.1 was not found: give numModels as a number."
      : `numModels ${numModels} was asked for, and this process may use ${visible} NeuronCores. Ask for fewer, or choose ` +
          "others with the option cores.",
  );
}

function embedsOf(pairs: readonly PreparedPair[]): { imageEmbeds: Tensor<"float32">[] } {
  return { imageEmbeds: pairs.map(({ imageEmbeds }) => imageEmbeds) };
}

function placesOf(pairs: readonly PreparedPair[]): number[] {
  return pairs.map(({ place }) => place);
}

function textsOf(pairs: readonly PreparedPair[]): TextInputs {
  return stackTexts(pairs.map(({ text }) => text as TextInputs));
}

function withTexts(pairs: readonly PreparedPair[]): TextInputs & { imageEmbeds: Tensor<"float32">[] } {
  return { ...embedsOf(pairs), ...textsOf(pairs) };
}

function dot(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, i) => sum + value * (other[i] as number), 0);
}
