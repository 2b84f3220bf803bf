import { stat } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import {
  type GenerationConfig,
  type ResolvedGenerationConfig,
  readGenerationDefaults,
  resolveGenerationConfig,
} from "../generation/generation-config.js";
import { type GeneratedSequence, greedySearch } from "../generation/greedy-search.js";
import { ownRowsOf, rowsOf, slicesOf, stackRows } from "../runtime/batch.js";
import { checkRank } from "../runtime/check.js";
import { Executor } from "../runtime/executor.js";
import { InFlight } from "../runtime/in-flight.js";
import { TorchModule } from "../runtime/torch-module.js";
import { Tensor } from "../tensor.js";
import { type BlipConfig, readBlipConfig } from "./blip-config.js";
import { type CompiledShapes, findShapes } from "./compiled-shapes.js";
import { DecoderPaddedGenerator } from "./decoder-padded-generator.js";
import { PARTS, type PartName, readManifest, verifyPart } from "./manifest.js";
import { TextEncoderWrapper } from "./text-encoder-wrapper.js";
import { VisionModelWrapper } from "./vision-model-wrapper.js";

export interface ReplicaOptions {
  /** How many cores of the CPU the replica may use. Default: libtorch's own choice. */
  threads?: number;
  /** Compare the files with the manifest's SHA-256 before loading them. Default true. */
  verify?: boolean;
  /** The longest question, for a directory without a manifest. Default: found by trial. */
  questionLength?: number;
  /** The compiled length of answers, for a directory without a manifest. Default: found by trial. */
  answerLength?: number;
}

/** The inputs of `generate`, as Hugging Face names them. */
export interface GenerateInputs {
  /** float32 [n, 3, height, width]. Or give `imageEmbeds`. n may be 1 for many questions on one picture. */
  pixelValues?: Tensor;
  /** float32 [n, image tokens, vision hidden size]: from `encodeImages`, to look at a picture only once. */
  imageEmbeds?: Tensor;
  /** int64 [n, length], padded on the right, of any length up to the compiled one. */
  inputIds: Tensor;
  /** int64 [n, length]. Default: 1 wherever there is no padding token. */
  attentionMask?: Tensor;
}

export interface GenerateOptions extends GenerationConfig {
  /**
   * What the decoder may attend to. "real" (default): the question's own tokens, so that a padded question answers as the
   * unpadded one does. "ones": all of `inputIds`' columns, padding included, as transformers does with a padded batch.
   */
  questionMask?: "real" | "ones";
  /** Checked between steps. */
  signal?: AbortSignal;
}

/** How many inputs each part takes. */
const INPUT_COUNTS: Readonly<Record<PartName, number>> = { vision_model: 1, text_decoder: 5, text_encoder: 4 };

/**
 * One replica of BLIP for visual question answering: the three compiled parts, on one native thread, and `generate`, after
 * transformers' `BlipForQuestionAnswering.generate`.
 */
export class NeuronBlipForQuestionAnswering implements AsyncDisposable {
  readonly config: BlipConfig;
  readonly shapes: CompiledShapes;
  readonly visionModel: VisionModelWrapper;
  readonly textEncoder: TextEncoderWrapper;
  readonly textDecoder: DecoderPaddedGenerator;
  readonly #executor: Executor;
  readonly #modules: readonly TorchModule[];
  readonly #generationDefaults: GenerationConfig;
  readonly #inFlight = new InFlight("model");

  private constructor(
    config: BlipConfig,
    shapes: CompiledShapes,
    executor: Executor,
    modules: Record<PartName, TorchModule>,
    generationDefaults: GenerationConfig,
  ) {
    this.config = config;
    this.shapes = shapes;
    this.#executor = executor;
    this.#modules = Object.values(modules);
    this.#generationDefaults = generationDefaults;
    this.visionModel = new VisionModelWrapper(modules.vision_model, shapes);
    this.textEncoder = new TextEncoderWrapper(modules.text_encoder, shapes);
    this.textDecoder = new DecoderPaddedGenerator(modules.text_decoder, shapes, config);
  }

  /**
   * Loads a replica from a model directory: one that `neuron-blip compile` wrote, or one with only the tutorial's
   * config.json, vision_model.pt, text_encoder.pt and text_decoder.pt.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: string,
    options: ReplicaOptions = {},
  ): Promise<NeuronBlipForQuestionAnswering> {
    await checkModelDirectory(directory);
    const config = await readBlipConfig(directory);
    const manifest = await readManifest(directory);
    if (manifest && options.verify !== false) {
      await Promise.all(Object.values(manifest.parts).map((part) => verifyPart(directory, part)));
    }
    const executor = new Executor(options.threads === undefined ? {} : { threads: options.threads });
    try {
      const modules = await loadParts(directory, executor);
      const shapes = await findShapes(config, manifest, modules, options);
      const defaults = await readGenerationDefaults(join(directory, "generation_config.json"));
      return new NeuronBlipForQuestionAnswering(config, shapes, executor, modules, defaults);
    } catch (error) {
      await executor.close();
      throw error;
    }
  }

  /**
   * Looks at pictures, each once; the embeddings can be asked about any number of times.
   * @param pixelValues float32 [n, 3, height, width].
   * @returns one float32 [1, image tokens, vision hidden size] for each picture.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  encodeImages(pixelValues: Tensor, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    return this.#inFlight.run(() => this.#encodeImages(pixelValues, signal));
  }

  async #encodeImages(pixelValues: Tensor, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    checkRank("pixelValues", pixelValues, "float32", 4);
    const embeddings: Tensor<"float32">[] = [];
    for (const rows of slicesOf(rowsOf(pixelValues), this.shapes.batchSize)) {
      throwIfAborted(signal);
      const { lastHiddenState } = await this.visionModel.forward(stackRows(rows, this.shapes.batchSize));
      embeddings.push(...ownRowsOf(lastHiddenState).slice(0, rows.length));
    }
    return embeddings;
  }

  /**
   * Answers questions on pictures, greedily; any number of rows, run through the compiled batch size.
   * @returns one sequence per row, in order.
   * @throws NeuronBlipError `INVALID_INPUT`; `INPUT_TOO_LONG` for questions longer than compiled; `EXECUTION_FAILED`;
   * `DISPOSED`; `ABORTED`.
   */
  generate(inputs: GenerateInputs, options: GenerateOptions = {}): Promise<GeneratedSequence[]> {
    return this.#inFlight.run(() => this.#generate(inputs, options));
  }

  async #generate(inputs: GenerateInputs, options: GenerateOptions): Promise<GeneratedSequence[]> {
    const { questionMask = "real", signal, ...generation } = options;
    throwIfAborted(signal);
    const tokens = { bosTokenId: this.config.bosTokenId, eosTokenId: this.config.sepTokenId };
    const config = resolveGenerationConfig(generation, this.#generationDefaults, tokens, this.shapes.answerLength + 1);
    const questions = this.#padQuestions(inputs, questionMask);
    const images = await this.#imagesFor(inputs, questions.length, signal);

    const sequences: GeneratedSequence[] = [];
    const rows = questions.map((question, i) => ({ ...question, image: images[i] as Tensor<"float32"> }));
    for (const slice of slicesOf(rows, this.shapes.batchSize)) {
      sequences.push(...(await this.#generateSlice(slice, config, signal)));
    }
    return sequences;
  }

  /** Frees the parts and ends the thread, after the work under way; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    return this.#inFlight.close(() => this.#release());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #release(): Promise<void> {
    await Promise.all(this.#modules.map((module) => module.dispose()));
    await this.#executor.close();
  }

  /** One compiled batch of questions. */
  async #generateSlice(
    rows: readonly QuestionRow[],
    config: ResolvedGenerationConfig,
    signal?: AbortSignal,
  ): Promise<GeneratedSequence[]> {
    const stack = <K extends keyof QuestionRow>(key: K) =>
      stackRows(
        rows.map((row) => row[key] as Tensor),
        this.shapes.batchSize,
      );
    throwIfAborted(signal);
    const questionEmbeds = await this.textEncoder.forward(stack("inputIds"), stack("attentionMask"), stack("image"));
    const questionMask = stack("decoderMask");
    const decoderInputs = this.textDecoder.prepareInputsForGeneration([[config.bosTokenId]]);
    const nextTokenLogits = async (sequences: readonly (readonly number[])[]) => {
      this.textDecoder.prepareInputsForGeneration(sequences, decoderInputs);
      const logits = await this.textDecoder.forward(decoderInputs, questionEmbeds, questionMask);
      return rowsOf(logits).map((row) => row.data);
    };
    return greedySearch(rows.length, nextTokenLogits, config, signal);
  }

  /** The questions, each padded to the compiled length where there is one, with their masks. */
  #padQuestions(inputs: GenerateInputs, questionMask: "real" | "ones"): Omit<QuestionRow, "image">[] {
    const { inputIds, attentionMask } = inputs;
    checkRank("inputIds", inputIds, "int64", 2);
    const [count = 0, length = 0] = inputIds.shape;
    if (attentionMask !== undefined) {
      checkRank("attentionMask", attentionMask, "int64", 2);
      if (attentionMask.shape[0] !== count || attentionMask.shape[1] !== length) {
        throw new NeuronBlipError(
          "INVALID_INPUT",
          `attentionMask [${attentionMask.shape}] must have the shape of inputIds [${inputIds.shape}].`,
        );
      }
    }
    if (questionMask !== "real" && questionMask !== "ones") {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `questionMask must be "real" or "ones", not ${JSON.stringify(questionMask)}.`,
      );
    }
    const ids = inputIds.data as BigInt64Array;
    const mask = attentionMask?.data as BigInt64Array | undefined;
    const pad = BigInt(this.config.padTokenId);
    const isReal = (i: number) => (mask ? mask[i] !== 0n : ids[i] !== pad);

    return Array.from({ length: count }, (_, row) => {
      const columns = Array.from({ length }, (_, column) => row * length + column);
      const real = columns.filter(isReal).length;
      if (real === 0) throw new NeuronBlipError("INVALID_INPUT", `Question ${row} has no tokens.`);
      if (!columns.slice(0, real).every(isReal)) {
        throw new NeuronBlipError("INVALID_INPUT", `Question ${row} must be padded on the right.`);
      }
      const attended = questionMask === "ones" ? length : real;
      if (attended > this.shapes.questionLength) {
        throw new NeuronBlipError(
          "INPUT_TOO_LONG",
          `Question ${row} has ${attended} tokens, and the model was compiled for ${this.shapes.questionLength}. Shorten it, ` +
            `truncate it, or compile again with --question-length ${attended} or more.`,
        );
      }
      const width = this.shapes.padsQuestions ? this.shapes.questionLength : attended;
      return {
        inputIds: int64Row(width, (i) => (i < length ? (ids[row * length + i] as bigint) : pad)),
        attentionMask: int64Row(width, (i) => (i < real ? 1n : 0n)),
        decoderMask: int64Row(width, (i) => (i < attended ? 1n : 0n)),
      };
    });
  }

  /** The embeddings of each row's picture. */
  async #imagesFor(inputs: GenerateInputs, count: number, signal?: AbortSignal): Promise<Tensor<"float32">[]> {
    const { pixelValues, imageEmbeds } = inputs;
    if ((pixelValues === undefined) === (imageEmbeds === undefined)) {
      throw new NeuronBlipError("INVALID_INPUT", "Give either pixelValues or imageEmbeds.");
    }
    const source = (pixelValues ?? imageEmbeds) as Tensor;
    checkRank(pixelValues ? "pixelValues" : "imageEmbeds", source, "float32", pixelValues ? 4 : 3);
    if (source.shape[0] !== count && source.shape[0] !== 1) {
      throw new NeuronBlipError("INVALID_INPUT", `${source.shape[0]} pictures were given for ${count} questions.`);
    }
    const images = pixelValues
      ? await this.#encodeImages(pixelValues, signal)
      : rowsOf(imageEmbeds as Tensor<"float32">);
    return Array.from({ length: count }, (_, i) => (images.length === 1 ? images[0] : images[i]) as Tensor<"float32">);
  }
}

/** An int64 tensor [1, length]. */
function int64Row(length: number, valueAt: (column: number) => bigint): Tensor<"int64"> {
  const row = Tensor.zeros("int64", [1, length]);
  for (let i = 0; i < length; i++) row.data[i] = valueAt(i);
  return row;
}

/** One question, each tensor [1, …]. */
interface QuestionRow {
  inputIds: Tensor<"int64">;
  attentionMask: Tensor<"int64">;
  decoderMask: Tensor<"int64">;
  image: Tensor<"float32">;
}

/** @throws NeuronBlipError `ARTIFACT_NOT_FOUND` where there is no such directory. */
export async function checkModelDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch((cause) => {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `There is no model directory "${directory}". Make one with \`npx neuron-blip compile MODEL ${directory}\`.`,
      { cause },
    );
  });
  if (!found.isDirectory()) {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `"${directory}" is not a directory; a model is a directory of parts.`,
    );
  }
}

/** Loads the parts in the tutorial's order, and checks that each is what its name says. */
async function loadParts(directory: string, executor: Executor): Promise<Record<PartName, TorchModule>> {
  const loaded: Partial<Record<PartName, TorchModule>> = {};
  try {
    for (const name of PARTS) {
      const module = await TorchModule.load(join(directory, `${name}.pt`), { executor });
      loaded[name] = module;
      checkInputCount(name, module);
    }
  } catch (error) {
    await Promise.all(Object.values(loaded).map((module) => module.dispose()));
    throw error;
  }
  return loaded as Record<PartName, TorchModule>;
}

function checkInputCount(name: PartName, { path, signature }: TorchModule): void {
  const count = signature.inputs.length;
  if (count === INPUT_COUNTS[name]) return;
  const really = PARTS.find((other) => INPUT_COUNTS[other] === count);
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" takes ${count} inputs, and a ${name} takes ${INPUT_COUNTS[name]}${really ? `: it looks like a ${really}` : ""}. ` +
      "Were files swapped? Compile the model again.",
  );
}
