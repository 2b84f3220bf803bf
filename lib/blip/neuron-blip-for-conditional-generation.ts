import { join } from "node:path";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { GeneratedSequence } from "../generation/generated-sequence.js";
import {
  type GenerationConfig,
  type ResolvedGenerationConfig,
  resolveGenerationConfig,
} from "../generation/generation-config.js";
import { readGenerationDefaults } from "../generation/generation-defaults.js";
import { generate } from "../generation/search.js";
import type { ModelDirectory } from "../model-directory.js";
import type { Tensor } from "../tensor.js";
import { checkGivenLengths, checkLengths, type ImageShapes, imageShapes } from "./compiled-shapes.js";
import type { CpuParts } from "./cpu-parts.js";
import { DecoderPaddedGenerator } from "./decoder-padded-generator.js";
import { decodingOf } from "./decoding.js";
import {
  type LoadedParts,
  loadParts,
  partOf,
  type ReplicaOptions,
  readReplicaOptions,
  releaseParts,
} from "./load-parts.js";
import { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";
import { type ImageTensors, imageRows, onesThenZeros, type TextTensors, textRows } from "./text-rows.js";

/** What the parts of a captioning model were compiled for. */
export interface CaptionShapes extends ImageShapes {
  /** Tokens of a caption that the decoder can read, its prompt included. */
  readonly answerLength: number;
}

/** The inputs of `generate`, as Hugging Face names them. */
export interface CaptionInputs extends ImageTensors, Partial<TextTensors> {}

export interface CaptionGenerateOptions extends GenerationConfig {
  /** Checked between steps. */
  signal?: AbortSignal;
}

/**
 * One replica of BLIP for captions: the compiled parts, on one native thread, and `generate`, after transformers'
 * `BlipForConditionalGeneration.generate`.
 */
export class NeuronBlipForConditionalGeneration extends NeuronBlipPreTrainedModel<CaptionShapes> {
  readonly textDecoder: DecoderPaddedGenerator;
  readonly #cpuParts: CpuParts | undefined;
  readonly #generationDefaults: GenerationConfig;

  private constructor(loaded: LoadedParts, shapes: CaptionShapes, generationDefaults: GenerationConfig) {
    super(loaded, shapes);
    const imageShape = [shapes.imageTokens, shapes.visionHiddenSize];
    this.textDecoder = new DecoderPaddedGenerator(partOf(loaded, "text_decoder"), shapes, imageShape, this.config);
    this.#cpuParts = loaded.cpuParts;
    this.#generationDefaults = generationDefaults;
  }

  /**
   * Loads a replica from a model directory that `neuron-blip compile` wrote.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: ModelDirectory,
    given: ReplicaOptions = {},
  ): Promise<NeuronBlipForConditionalGeneration> {
    const options = readReplicaOptions(given);
    return NeuronBlipForConditionalGeneration.fromParts(
      await loadParts(directory, "BlipForConditionalGeneration", options),
      options,
    );
  }

  /** @internal Takes over parts that are loaded; frees them where they do not fit each other. */
  static async fromParts(loaded: LoadedParts, options: ReplicaOptions): Promise<NeuronBlipForConditionalGeneration> {
    try {
      const answerLength = loaded.manifest?.answer_length ?? options.answerLength;
      if (!answerLength) {
        throw new NeuronBlipError(
          "ARTIFACT_MISMATCH",
          `"${loaded.directory}" has no neuron_blip.json. Compile the model with \`npx neuron-blip compile\`, or give answerLength.`,
        );
      }
      checkGivenLengths(options, loaded.config);
      checkLengths(options, { answerLength });
      const shapes = {
        ...imageShapes(loaded.config, loaded.manifest),
        answerLength,
        anyBatch: loaded.cpuParts !== undefined,
      };
      const defaults = await readGenerationDefaults(
        join(loaded.directory, "generation_config.json"),
        loaded.config.vocabSize,
      );
      return new NeuronBlipForConditionalGeneration(loaded, shapes, defaults);
    } catch (error) {
      await releaseParts(loaded);
      throw error;
    }
  }

  /**
   * Describes pictures; any number of rows, run through the compiled batch size.
   * @param inputs the pictures, and as inputIds the prompts as the processor encodes them: as transformers does, the first
   * token is replaced by the decoder's start token and the last column, [SEP], is dropped. Default: no prompt.
   * @returns `numReturnSequences` for each row, in order, the best first, prompt included; fewer where processors leave fewer
   * possible.
   * @throws NeuronBlipError `INVALID_INPUT`, `INPUT_TOO_LONG`, `EXECUTION_FAILED`, `DISPOSED`, `ABORTED`.
   */
  async generate(inputs: CaptionInputs, options: CaptionGenerateOptions = {}): Promise<GeneratedSequence[]> {
    return (await this.generateRows(inputs, options)).flat();
  }

  /**
   * As `generate`, the sequences of each row by themselves.
   * @param places of the rows in a longer list that they are a part of, so that with `doSample` and `seed` each draws as in
   * the whole list. Default: 0, 1, 2, …
   */
  generateRows(
    inputs: CaptionInputs,
    options: CaptionGenerateOptions = {},
    places?: readonly number[],
  ): Promise<GeneratedSequence[][]> {
    return this.whileAlive(async () => {
      const { signal, ...generation } = readOptions(options, "generate");
      throwIfAborted(signal);
      const prompts = this.#prompts(inputs);
      const count = prompts?.length ?? countOf(inputs);
      const configs = new Map<number, ResolvedGenerationConfig>();
      const rows = Array.from({ length: count }, (_, i) => {
        const prompt = [this.config.bosTokenId, ...(prompts?.[i] ?? [])];
        // One for all prompts of a length, and so, without a seed, one random seed of which each row draws its own stream.
        const config = configs.get(prompt.length) ?? this.#configOf(prompt.length, generation);
        configs.set(prompt.length, config);
        return { prompt, config, place: places?.[i] };
      });
      const images = await imageRows(inputs, count, (pixelValues) => this.encodeImages(pixelValues, signal));
      const attentionMask = onesThenZeros(this.shapes.imageTokens, this.shapes.imageTokens);
      const encoded = images.map((hiddenStates) => ({ hiddenStates, attentionMask }));
      using decoding = decodingOf(this.#cpuParts?.textDecoder, this.textDecoder, encoded);
      return await generate(rows, decoding.nextTokenLogits, { signal, streamer: generation.streamer });
    });
  }

  #configOf(promptLength: number, generation: GenerationConfig): ResolvedGenerationConfig {
    const { sepTokenId, vocabSize } = this.config;
    const tokens = { eosTokenId: sepTokenId, vocabSize };
    const longest = this.shapes.answerLength + 1;
    return resolveGenerationConfig(generation, this.#generationDefaults, tokens, promptLength, longest);
  }

  /** Each prompt's tokens between the first, which the start token replaces, and [SEP]. */
  #prompts({ inputIds, attentionMask }: CaptionInputs): number[][] | undefined {
    if (inputIds === undefined) return undefined;
    const rows = textRows({ inputIds, ...(attentionMask && { attentionMask }) }, this.config.padTokenId);
    return rows.map(({ ids, real }) => ids.slice(1, real - 1).map(Number));
  }
}

/** How many pictures were given. What else is wrong with them, imageRows says. */
function countOf({ pixelValues, imageEmbeds }: CaptionInputs): number {
  const tensors: (Tensor | undefined)[] = [pixelValues ?? imageEmbeds].flat() as (Tensor | undefined)[];
  return tensors.reduce((sum, tensor) => sum + (tensor?.shape?.[0] ?? 1), 0);
}
