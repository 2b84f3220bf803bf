import { join } from "node:path";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { GeneratedSequence } from "../generation/generated-sequence.js";
import {
  type GenerationConfig,
  type ResolvedGenerationConfig,
  resolveGenerationConfig,
} from "../generation/generation-config.js";
import { generate } from "../generation/search.js";
import type { Tensor } from "../torch/tensor.js";
import { traceStage } from "../util/diagnostics.js";
import type { ModelDirectory } from "../util/model-path.js";
import { isList } from "../util/values.js";
import { checkGivenLengths, checkLengths, type ImageShapes, imageShapes } from "./compiled-shapes.js";
import type { Decoder } from "./decoder.js";
import { DecoderPaddedGenerator } from "./decoder-padded-generator.js";
import { readGenerationDefaults } from "./generation-defaults.js";
import { partOf, type ReplicaOptions, readReplicaOptions } from "./load-parts.js";
import { type LoadedReplica, loadReplica, releaseReplica } from "./load-replicas.js";
import type { LoadedParts } from "./loaded-parts.js";
import { type ImageTensors, imageRows, type TextTensors, tokenIdsOf } from "./model-inputs.js";
import { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";
import { CachedDecoder } from "./parts/checkpoint/decoder.js";
import { CompiledDecoder } from "./parts/compiled/decoder.js";
import type { TokenIds } from "./token-ids.js";

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
  readonly #decoder: Decoder;
  readonly #generationDefaults: GenerationConfig;

  private constructor(loaded: LoadedReplica, shapes: CaptionShapes, generationDefaults: GenerationConfig) {
    super(loaded, shapes);
    this.#generationDefaults = generationDefaults;
    const imageShape = [shapes.imageTokens, shapes.visionHiddenSize];
    if (loaded.kind === "checkpoint") {
      this.textDecoder = loaded.textDecoderWrapper(imageShape);
      this.#decoder = new CachedDecoder(loaded.textDecoder());
      return;
    }
    this.textDecoder = new DecoderPaddedGenerator(partOf(loaded, "text_decoder"), shapes, imageShape, this.config);
    this.#decoder = new CompiledDecoder(this.textDecoder);
  }

  /**
   * Loads a replica from a checkpoint's directory, for the CPU, or from one that `neuron-blip compile` wrote.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`, or
   * why the addon does not load.
   */
  static async fromPretrained(
    directory: ModelDirectory,
    given: ReplicaOptions = {},
  ): Promise<NeuronBlipForConditionalGeneration> {
    const options = readReplicaOptions(given);
    return NeuronBlipForConditionalGeneration.fromParts(
      await loadReplica(directory, "BlipForConditionalGeneration", options),
      options,
    );
  }

  /** @internal Takes over what is loaded; frees it where its parts do not fit each other. */
  static async fromParts(loaded: LoadedReplica, options: ReplicaOptions): Promise<NeuronBlipForConditionalGeneration> {
    try {
      const shapes = loaded.kind === "checkpoint" ? loaded.shapes : compiledShapes(loaded, options);
      const defaults = await readGenerationDefaults(
        join(loaded.directory, "generation_config.json"),
        loaded.config.vocabSize,
      );
      return new NeuronBlipForConditionalGeneration(loaded, shapes, defaults);
    } catch (error) {
      await releaseReplica(loaded);
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
  generate(inputs: CaptionInputs, options: CaptionGenerateOptions = {}): Promise<GeneratedSequence[]> {
    return this.calls.run(async () => {
      const read = readOptions(options, "generate");
      throwIfAborted(read.signal);
      const prompts = this.#prompts(inputs);
      const count = prompts?.length ?? countOf(inputs);
      const images = () => imageRows(inputs, count, (pixelValues) => this.encodeImages(pixelValues, read.signal));
      return (await this.#generate(count, images, prompts, read)).flat();
    });
  }

  /**
   * @internal Generates as `generate`, the sequences of each row by themselves.
   * @param images each row's embeddings. @param prompts each row's token ids. Default: no prompt.
   * @param places of the rows in a longer list that they are a part of, so that with `doSample` and `seed` each draws as in
   * the whole list. Default: 0, 1, 2, …
   */
  generateRows(
    images: readonly Tensor<"float32">[],
    prompts: readonly TokenIds[] | undefined,
    options: CaptionGenerateOptions = {},
    places?: readonly number[],
  ): Promise<GeneratedSequence[][]> {
    return this.calls.run(() => this.#generate(images.length, async () => images, prompts, options, places));
  }

  async #generate(
    count: number,
    images: () => Promise<readonly Tensor<"float32">[]>,
    prompts: readonly TokenIds[] | undefined,
    options: CaptionGenerateOptions,
    places?: readonly number[],
  ): Promise<GeneratedSequence[][]> {
    const { signal, ...generation } = readOptions(options, "generate");
    throwIfAborted(signal);
    const configs = new Map<number, ResolvedGenerationConfig>();
    const rows = Array.from({ length: count }, (_, i) => {
      const { ids = [], length = 0 } = prompts?.[i] ?? {};
      // The start token replaces the first, and [SEP] is dropped.
      const prompt = [this.config.bosTokenId, ...ids.slice(1, Math.max(1, length - 1))];
      // One for all prompts of a length, and so, without a seed, one random seed of which each row draws its own stream.
      const config = configs.get(prompt.length) ?? this.#configOf(prompt.length, generation);
      configs.set(prompt.length, config);
      return { prompt, config, place: places?.[i] };
    });
    const encoded = (await images()).map((hiddenStates) => {
      const [, tokens = 0] = hiddenStates.shape;
      return { hiddenStates, attended: tokens };
    });
    const { streamer } = generation;
    return traceStage("decoder", () =>
      this.#decoder.decode(encoded, (nextTokenLogits) => generate(rows, nextTokenLogits, { signal, streamer })),
    );
  }

  #configOf(promptLength: number, generation: GenerationConfig): ResolvedGenerationConfig {
    const { sepTokenId, vocabSize } = this.config;
    const tokens = { eosTokenId: sepTokenId, vocabSize };
    const longest = this.shapes.answerLength + 1;
    return resolveGenerationConfig(generation, this.#generationDefaults, tokens, promptLength, longest);
  }

  #prompts({ inputIds, attentionMask }: CaptionInputs): TokenIds[] | undefined {
    if (inputIds === undefined) return undefined;
    return tokenIdsOf({ inputIds, ...(attentionMask && { attentionMask }) }, this.config.padTokenId);
  }
}

function compiledShapes({ config, manifest, directory }: LoadedParts, options: ReplicaOptions): CaptionShapes {
  const answerLength = manifest?.answer_length ?? options.answerLength;
  if (!answerLength) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}" has no neuron_blip.json. Compile the model with \`npx neuron-blip compile\`, or give answerLength.`,
    );
  }
  checkGivenLengths(options, config);
  checkLengths(options, { answerLength });
  return { ...imageShapes(config, manifest), answerLength };
}

/** Counts the pictures that were given. What else is wrong with them, imageRows says. */
function countOf({ pixelValues, imageEmbeds }: CaptionInputs): number {
  const given: Tensor | readonly Tensor[] | undefined = pixelValues ?? imageEmbeds;
  const tensors = isList(given) ? given : [given];
  return tensors.reduce((sum, tensor) => sum + (tensor?.shape?.[0] ?? 1), 0);
}
