import { join } from "node:path";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { GeneratedSequence } from "../generation/generated-sequence.js";
import { type GenerationConfig, resolveGenerationConfig } from "../generation/generation-config.js";
import { type RankedSequence, type RankingConfig, rankSequences, stepwise } from "../generation/ranking.js";
import { generate, type NextTokenLogits } from "../generation/search.js";
import type { Tensor } from "../torch/tensor.js";
import { checkInput } from "../torch/torch-values.js";
import { traceStage } from "../util/diagnostics.js";
import { itemAt } from "../util/item-at.js";
import type { ModelDirectory } from "../util/model-path.js";
import { inTurns } from "../util/turns.js";
import { shown } from "../util/values.js";
import { type CompiledShapes, findShapes, tooLong } from "./compiled-shapes.js";
import type { Decoder, RankingPart } from "./decoder.js";
import { DecoderPaddedGenerator } from "./decoder-padded-generator.js";
import type { EncoderRow } from "./encoder-row.js";
import { readGenerationDefaults } from "./generation-defaults.js";
import { partOf, type ReplicaOptions, readReplicaOptions } from "./load-parts.js";
import { type LoadedReplica, loadReplica, releaseReplica } from "./load-replicas.js";
import type { LoadedParts } from "./loaded-parts.js";
import { type ImageTensors, imageRows, keyValuesOf, type TextTensors, tokenIdsOf } from "./model-inputs.js";
import { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";
import { warmUpTutorialOnNeuron } from "./neuron-warm-up.js";
import { CachedDecoder } from "./parts/checkpoint/decoder.js";
import { CachedQuestionEncoder } from "./parts/checkpoint/question-encoder.js";
import { CompiledDecoder } from "./parts/compiled/decoder.js";
import { DecoderAllPositions } from "./parts/compiled/decoder-all-positions.js";
import { CompiledQuestionEncoder } from "./parts/compiled/question-encoder.js";
import type { QuestionEncoder, TextAboutImage } from "./question-encoder.js";
import { TextEncoderWrapper } from "./text-encoder-wrapper.js";

/** The inputs of `generate`, as Hugging Face names them. */
export interface GenerateInputs extends ImageTensors, TextTensors {}

export interface QuestionMaskOptions {
  /**
   * What the decoder may attend to. "real" (default): the question's own tokens, so that a padded question answers as the
   * unpadded one does. "ones": all of `inputIds`' columns, padding included, as transformers does with a padded batch.
   */
  questionMask?: "real" | "ones";
  /** Checked between steps. */
  signal?: AbortSignal;
}

export interface GenerateOptions extends GenerationConfig, QuestionMaskOptions {}

export interface RankOptions extends RankingConfig, QuestionMaskOptions {}

export type { RankingPart } from "./decoder.js";

/** Gives texts and pictures, once the options are known to be right. */
type Texts = (signal: AbortSignal | undefined) => Promise<readonly TextAboutImage[]>;

/** How many logits of the stepwise decoder are kept at once. */
const BEGINNINGS_AT_ONCE = 64;

/**
 * One replica of BLIP for visual question answering: the compiled parts, on one native thread, and `generate`, after
 * transformers' `BlipForQuestionAnswering.generate`.
 */
export class NeuronBlipForQuestionAnswering extends NeuronBlipPreTrainedModel<CompiledShapes> {
  readonly textEncoder: TextEncoderWrapper;
  readonly textDecoder: DecoderPaddedGenerator;
  readonly #questionEncoder: QuestionEncoder;
  readonly #decoder: Decoder;
  readonly #generationDefaults: GenerationConfig;

  private constructor(loaded: LoadedReplica, shapes: CompiledShapes, generationDefaults: GenerationConfig) {
    super(loaded, shapes);
    const questionLength = shapes.padsQuestions ? shapes.questionLength : "any";
    const questionShape = [questionLength, shapes.textHiddenSize] as const;
    this.#generationDefaults = generationDefaults;
    if (loaded.kind === "checkpoint") {
      this.textEncoder = loaded.textEncoderWrapper();
      this.textDecoder = loaded.textDecoderWrapper(questionShape);
      this.#questionEncoder = new CachedQuestionEncoder(loaded.textEncoder(), this.config);
      this.#decoder = new CachedDecoder(loaded.textDecoder());
      return;
    }
    this.textEncoder = new TextEncoderWrapper(partOf(loaded, "text_encoder"), shapes);
    this.textDecoder = new DecoderPaddedGenerator(partOf(loaded, "text_decoder"), shapes, questionShape, this.config);
    this.#questionEncoder = new CompiledQuestionEncoder(this.textEncoder, shapes, this.config);
    this.#decoder = this.#compiledDecoder(loaded);
  }

  /**
   * Loads a replica from a model directory: a checkpoint's, with config.json and model.safetensors, for the CPU; one that
   * `neuron-blip compile` wrote; or one with only the tutorial's config.json, vision_model.pt, text_encoder.pt and text_decoder.pt.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: ModelDirectory,
    given: ReplicaOptions = {},
  ): Promise<NeuronBlipForQuestionAnswering> {
    const options = readReplicaOptions(given);
    return NeuronBlipForQuestionAnswering.fromParts(
      await loadReplica(directory, "BlipForQuestionAnswering", options),
      options,
    );
  }

  /** @internal Takes over what is loaded; frees it where its parts do not fit each other. */
  static async fromParts(loaded: LoadedReplica, options: ReplicaOptions): Promise<NeuronBlipForQuestionAnswering> {
    try {
      const shapes = loaded.kind === "checkpoint" ? loaded.shapes : await compiledShapes(loaded, options);
      const defaults = await readGenerationDefaults(
        join(loaded.directory, "generation_config.json"),
        loaded.config.vocabSize,
      );
      return new NeuronBlipForQuestionAnswering(loaded, shapes, defaults);
    } catch (error) {
      await releaseReplica(loaded);
      throw error;
    }
  }

  /**
   * Answers questions on pictures; any number of rows, run through the compiled batch size.
   * @returns `numReturnSequences` for each row, in order, the best first; fewer where processors leave fewer possible.
   * @throws NeuronBlipError `INVALID_INPUT`; `INPUT_TOO_LONG` for questions longer than compiled; `EXECUTION_FAILED`;
   * `DISPOSED`; `ABORTED`.
   */
  async generate(inputs: GenerateInputs, options: GenerateOptions = {}): Promise<GeneratedSequence[]> {
    return (await this.generateRows((signal) => this.#textsOf(inputs, signal), options)).flat();
  }

  /**
   * @internal Generates as `generate`, from token ids; the sequences of each row by themselves.
   * @param texts or what makes them, once the options are known to be right.
   * @param places of the rows in a longer list that they are a part of, so that with `doSample` and `seed` each draws as in
   * the whole list. Default: 0, 1, 2, …
   */
  generateRows(
    texts: readonly TextAboutImage[] | Texts,
    options: GenerateOptions = {},
    places?: readonly number[],
  ): Promise<GeneratedSequence[][]> {
    return this.calls.run(async () => {
      const { questionMask, signal, ...generation } = readOptions(options, "generate");
      throwIfAborted(signal);
      const { bosTokenId, sepTokenId, vocabSize } = this.config;
      const config = resolveGenerationConfig(
        generation,
        this.#generationDefaults,
        { eosTokenId: sepTokenId, vocabSize },
        1,
        this.shapes.answerLength + 1,
      );
      const given = typeof texts === "function" ? await texts(signal) : texts;
      const questions = await this.#encodeQuestions(given, questionMask, signal);
      const { streamer } = generation;
      const rows = questions.map((_, i) => ({ prompt: [bosTokenId], config, place: places?.[i] }));
      return traceStage("decoder", () =>
        this.#decoder.decode(questions, (nextTokenLogits) => generate(rows, nextTokenLogits, { signal, streamer })),
      );
    });
  }

  /**
   * Ranks given answers to one question about one picture by likelihood, as the original BLIP does.
   * @param candidates token ids, each from the decoder's start token to [SEP].
   * @returns all candidates, the best first.
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  rank(
    inputs: GenerateInputs,
    candidates: readonly (readonly number[])[],
    options: RankOptions = {},
  ): Promise<RankedSequence[]> {
    return this.calls.run(() =>
      this.#rank(
        (signal) => this.#textsOf(inputs, signal),
        candidates,
        options,
        (ranked) => ranked,
      ),
    );
  }

  /** @internal Ranks as `rank`, from token ids; each result is what `toResult` makes of it. */
  rankRow<T>(
    texts: readonly TextAboutImage[],
    candidates: readonly (readonly number[])[],
    options: RankOptions,
    toResult: (ranked: RankedSequence) => T,
  ): Promise<T[]> {
    return this.calls.run(() => this.#rank(async () => texts, candidates, options, toResult));
  }

  /**
   * Computes the keys and values of a picture for the text encoder's cross-attention, whatever the question. Give them along with
   * its embeddings when questions about it come: that saves more than half of the work of reading one.
   * @param imageEmbeds float32 [1, image tokens, vision hidden size], from `encodeImages`.
   * @returns [layers, 2, heads, image tokens, head size], float32 or bfloat16, 42 MB or 21 MB for a full-size picture; undefined
   * where it does not run a checkpoint.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  override imageKeysValues(imageEmbeds: Tensor<"float32">, signal?: AbortSignal): Promise<Tensor | undefined> {
    return this.calls.run(async () => {
      throwIfAborted(signal);
      // A checkpoint checks the number of tokens itself, which with interpolatePosEncoding may be any.
      const imageTokens = this.shapes.isCompiled ? this.shapes.imageTokens : "any";
      checkInput("imageEmbeds", imageEmbeds, "float32", [1, imageTokens, this.shapes.visionHiddenSize]);
      return this.#questionEncoder.imageKeysValues?.(imageEmbeds);
    });
  }

  /** Names the part that `rank` uses. */
  get rankingPart(): RankingPart {
    return this.#decoder.rankingPart;
  }

  #compiledDecoder({ parts }: LoadedParts): Decoder {
    const allPositions = parts.get("text_decoder_all_positions");
    const ranking = allPositions && new DecoderAllPositions(allPositions, this.shapes, this.config);
    return new CompiledDecoder(this.textDecoder, ranking);
  }

  async #rank<T>(
    textsOf: Texts,
    candidates: readonly (readonly number[])[],
    options: RankOptions,
    toResult: (ranked: RankedSequence) => T,
  ): Promise<T[]> {
    const { questionMask, signal, ...ranking } = readOptions(options, "rank");
    throwIfAborted(signal);
    await inTurns(this.#checkCandidates(candidates), signal);
    checkRanking(ranking);
    const [question, second] = await this.#encodeQuestions(await textsOf(signal), questionMask, signal);
    if (question === undefined || second !== undefined) {
      throw new NeuronBlipError("INVALID_INPUT", "rank takes one question.");
    }
    const rankBy = async (nextTokenLogits: NextTokenLogits): Promise<T[]> => {
      const step: NextTokenLogits = (sequences) => {
        throwIfAborted(signal);
        return nextTokenLogits(sequences);
      };
      const first = itemAt(await step([{ row: 0, tokenIds: [this.config.bosTokenId] }]), 0);
      const logitsOf = this.#decoder.logitsOf?.(question, signal) ?? stepwise(step, BEGINNINGS_AT_ONCE);
      return rankSequences(candidates, first, logitsOf, ranking, toResult);
    };
    return traceStage("decoder", () => this.#decoder.decode([question], rankBy, { revisits: true }));
  }

  /** Turns Hugging Face's tensors into token ids and pictures. */
  async #textsOf(inputs: GenerateInputs, signal: AbortSignal | undefined): Promise<TextAboutImage[]> {
    const texts = tokenIdsOf(inputs, this.config.padTokenId);
    const images = await imageRows(inputs, texts.length, (pixelValues) => this.encodeImages(pixelValues, signal));
    const keyValues = keyValuesOf(inputs, texts.length);
    return texts.map((text, i) => ({ ...text, image: itemAt(images, i), keyValues: keyValues[i] }));
  }

  /** Returns what the decoder attends to, for each question. */
  async #encodeQuestions(
    texts: readonly TextAboutImage[],
    questionMask: QuestionMaskOptions["questionMask"] = "real",
    signal?: AbortSignal,
  ): Promise<EncoderRow[]> {
    if (questionMask !== "real" && questionMask !== "ones") {
      throw new NeuronBlipError("INVALID_INPUT", `questionMask must be "real" or "ones", not ${shown(questionMask)}.`);
    }
    const { questionLength } = this.shapes;
    const questions = texts.map((text, i) => {
      const attended = questionMask === "ones" ? text.paddedLength : text.length;
      if (attended <= questionLength) return { ...text, attended };
      throw tooLong("INPUT_TOO_LONG", `Question ${i}`, attended, questionLength, "question", this.shapes);
    });
    return traceStage("encoder", () => this.#questionEncoder.encode(questions, signal));
  }

  *#checkCandidates(candidates: readonly (readonly number[])[]): Generator<void, void> {
    const { answerLength } = this.shapes;
    const isCandidate = (ids: unknown): ids is readonly number[] =>
      Array.isArray(ids) &&
      ids.length >= 2 &&
      ids.every((id) => Number.isSafeInteger(id) && id >= 0 && id < this.config.vocabSize);
    const list: readonly unknown[] = Array.isArray(candidates) ? candidates : [];
    for (const [i, ids] of list.entries()) {
      yield;
      if (!isCandidate(ids)) throw noCandidates(`Candidate ${i} is not: ${shown(ids)}.`);
      if (ids.length <= answerLength + 1) continue;
      throw tooLong("INPUT_TOO_LONG", "A candidate", ids.length - 1, answerLength, "answer", this.shapes);
    }
    if (list.length === 0) throw noCandidates("Give one or more.");
  }
}

async function compiledShapes(loaded: LoadedParts, options: ReplicaOptions): Promise<CompiledShapes> {
  const modules = {
    vision_model: partOf(loaded, "vision_model"),
    text_encoder: partOf(loaded, "text_encoder"),
    text_decoder: partOf(loaded, "text_decoder"),
  };
  const shapes = await findShapes(loaded.config, loaded.manifest, modules, options);
  if (loaded.manifest === undefined && options.warmUp !== false) await warmUpTutorialOnNeuron(loaded, shapes);
  return shapes;
}

function noCandidates(what: string): NeuronBlipError {
  return new NeuronBlipError(
    "INVALID_INPUT",
    "Candidates are lists of token ids of the vocabulary, each of two or more: the decoder's start token, then the answer. " +
      what,
  );
}

function checkRanking({ k, labelSmoothing, ...unknown }: RankingConfig): void {
  const [name] = Object.keys(unknown);
  if (name !== undefined) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `There is no option ${shown(name)} of rank. The options are k and labelSmoothing.`,
    );
  }
  if (k !== undefined && !(Number.isSafeInteger(k) && k >= 1)) {
    throw new NeuronBlipError("INVALID_INPUT", `k must be a whole number >= 1, not ${shown(k)}.`);
  }
  const isShare = typeof labelSmoothing === "number" && labelSmoothing >= 0 && labelSmoothing <= 1;
  if (labelSmoothing !== undefined && !isShare) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `labelSmoothing must be a number from 0 to 1, not ${shown(labelSmoothing)}.`,
    );
  }
}
