import { readFile } from "node:fs/promises";
import { NeuronBlipError, throwIfAborted } from "../../../errors.js";
import type { Executor } from "../../../torch/executor.js";
import { native } from "../../../torch/native.js";
import type { Part } from "../../../torch/part.js";
import { openTensors, type TensorEntry } from "../../../torch/tensor-file.js";
import {
  type BoundFunctions,
  type FunctionCallOptions,
  type FunctionInput,
  TorchFunctions,
  type TorchValue,
} from "../../../torch/torch-functions.js";
import { fulfilled } from "../../../util/concurrency.js";
import { packageFile } from "../../../util/package-file.js";
import type { BlipConfig } from "../../blip-config.js";
import type { CompiledShapes } from "../../compiled-shapes.js";
import { DecoderPaddedGenerator } from "../../decoder-padded-generator.js";
import type { Architecture } from "../../heads.js";
import { TextEncoderWrapper } from "../../text-encoder-wrapper.js";
import type { CheckpointConfig, KeysValuesDtype } from "./checkpoint-config.js";
import { TextDecoderCached } from "./decoder.js";
import { TextEncoderCached } from "./question-encoder.js";
import { readWeights } from "./weight-files.js";
import { type StoredTensor, TEXT_MODELS } from "./weights.js";

/**
 * The number type of a checkpoint's weights while it runs: "float32", the model's own answers; "bfloat16"; "int8", for the
 * linears of the layers.
 */
export type CheckpointDtype = "float32" | "bfloat16" | "int8";

/** How linears.torchscript lays weights out: see there. */
type Form = "float32" | "bfloat16" | "half" | "int8";

/** How each part of a model's weights is laid out. */
interface Forms {
  readonly visionLayers: Form;
  readonly visionRest: Form;
  readonly text: Form;
}

/** Of a picture's many rows this engine's int8 linears are the fastest; of a text's few, libtorch's own choice. */
const VISION_ENGINE = "onednn";

export interface CheckpointOptions {
  /** Default "float32". */
  dtype?: CheckpointDtype | undefined;
  /** Where to compile and to lay weights out. */
  executor: Executor;
  /** How many tokens most pictures have, for which weights are laid out. */
  imageTokens: number;
  /** Checked between layers. */
  signal?: AbortSignal | undefined;
}

const SOURCES = ["linears.torchscript", "blip.torchscript"];

/** The functions of blip.torchscript over one checkpoint's weights, which all replicas share. */
export class Checkpoint {
  readonly directory: string;
  readonly config: CheckpointConfig;
  /** Of the text models' keys and values. */
  readonly keysValuesDtype: KeysValuesDtype;
  readonly #functions: TorchFunctions;
  readonly #weights: TorchValue;
  readonly #packed: TorchValue;

  private constructor(
    directory: string,
    config: CheckpointConfig,
    keysValuesDtype: KeysValuesDtype,
    parts: { functions: TorchFunctions; weights: TorchValue; packed: TorchValue },
  ) {
    this.directory = directory;
    this.config = config;
    this.keysValuesDtype = keysValuesDtype;
    this.#functions = parts.functions;
    this.#weights = parts.weights;
    this.#packed = parts.packed;
  }

  /**
   * Maps a checkpoint's weights and lays them out for this CPU.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `ABORTED`.
   */
  static async load(
    directory: string,
    architecture: Architecture,
    { dtype = "float32", executor, imageTokens, signal }: CheckpointOptions,
  ): Promise<Checkpoint> {
    const source = (await Promise.all(SOURCES.map(readSource))).join("\n");
    const [read, compiled] = await Promise.allSettled([
      readWeights(directory, architecture),
      TorchFunctions.compile(source, { executor, name: "blip.torchscript" }),
    ]);
    if (read.status === "rejected" && compiled.status === "fulfilled") await compiled.value.dispose().catch(() => {});
    const { config, weights: found } = fulfilled(read);
    const functions = fulfilled(compiled);
    const values: TorchValue[] = [];
    try {
      throwIfAborted(signal);
      const forms = await formsFor(dtype, functions);
      const weights = await openAll(found, functions, executor, values);
      const packed = await functions.keep("no_packed_linears", []);
      values.push(packed);
      const prepareFor = async (options: FunctionCallOptions, name: string, ...inputs: FunctionInput[]) => {
        throwIfAborted(signal);
        await functions.call(name, [weights, packed, ...inputs], options);
      };
      const prepare = (name: string, ...inputs: FunctionInput[]) => prepareFor({}, name, ...inputs);
      const engine = forms.visionLayers === "int8" ? ({ quantizedEngine: VISION_ENGINE } as const) : {};
      if (forms.text === "int8") await prepare("find_saturation");
      if (forms.visionLayers === "int8") await prepareFor(engine, "find_saturation");
      for (let i = 0; i < config.vision.layers; i++) {
        await prepareFor(engine, "prepare_vision_layer", i, forms.visionLayers, imageTokens);
      }
      await prepare("prepare_vision_rest", forms.visionRest);
      for (const text of TEXT_MODELS[architecture]) {
        for (let i = 0; i < config.text.layers; i++) {
          // The encoder reads few questions without a picture's keys and values.
          await prepare("prepare_text_layer", text, i, forms.text, text === "text_encoder");
        }
        await prepare("prepare_text_rest", text, forms.text);
      }
      const keysValuesDtype = forms.text === "bfloat16" ? "bfloat16" : "float32";
      return new Checkpoint(directory, config, keysValuesDtype, { functions, weights, packed });
    } catch (error) {
      await Promise.all([...values, functions].map((value) => value.dispose()));
      throw error;
    }
  }

  /** Binds the functions to its weights, on an executor's threads. @param sizes what they take after their tensors. */
  on(executor: Executor, sizes: readonly FunctionInput[]): BoundFunctions {
    return this.#functions.bind({
      path: this.directory,
      executor,
      first: [this.#weights, this.#packed],
      last: sizes,
    });
  }

  /** Frees the weights after the calls made before. May be called twice. */
  async dispose(): Promise<void> {
    await Promise.all([this.#functions, this.#weights, this.#packed].map((value) => value.dispose()));
  }
}

/** A checkpoint on one replica's thread: its functions, as the parts of a model. */
export class LoadedCheckpoint {
  readonly kind = "checkpoint";
  readonly directory: string;
  readonly config: BlipConfig;
  readonly shapes: CompiledShapes;
  readonly executor: Executor;
  /** Whether pictures may be of any size. */
  readonly interpolates: boolean;
  readonly visionModel: Part;
  readonly #checkpoint: Checkpoint;
  readonly #release: () => Promise<void>;
  /** The functions that take the text model's sizes. */
  readonly textFunctions: BoundFunctions;
  /** The functions that take no sizes: the heads of matching. */
  readonly headFunctions: BoundFunctions;

  /** @param release releases the checkpoint, which other replicas may use, too. */
  constructor(
    checkpoint: Checkpoint,
    executor: Executor,
    {
      config,
      shapes,
      interpolates,
      release,
    }: { config: BlipConfig; shapes: CompiledShapes; interpolates: boolean; release: () => Promise<void> },
  ) {
    this.directory = checkpoint.directory;
    this.#checkpoint = checkpoint;
    this.executor = executor;
    this.config = config;
    this.shapes = shapes;
    this.interpolates = interpolates;
    this.#release = release;
    const { vision, text } = checkpoint.config;
    this.textFunctions = checkpoint.on(executor, [text.layers, text.heads, text.layerNormEps]);
    this.headFunctions = checkpoint.on(executor, []);
    const visionFunctions = checkpoint.on(executor, [interpolates, vision.layers, vision.heads, vision.layerNormEps]);
    this.visionModel = visionFunctions.part("vision_model");
  }

  /** Makes the text encoder of a model that has one, which reads texts about pictures. */
  textEncoder(): TextEncoderCached {
    const { imageTokens, visionHiddenSize } = this.shapes;
    return new TextEncoderCached(this.textFunctions, this.#checkpoint.keysValuesDtype, {
      imageTokens: this.interpolates ? "any" : imageTokens,
      visionHiddenSize,
    });
  }

  /** Makes the text decoder of a model that has one. */
  textDecoder(): TextDecoderCached {
    const { layers, heads, hiddenSize } = this.#checkpoint.config.text;
    return new TextDecoderCached(
      this.textFunctions,
      this.#checkpoint.keysValuesDtype,
      { layers, heads, headSize: hiddenSize / heads },
      this.config,
    );
  }

  /** Makes the text encoder with the tutorial's signature. */
  textEncoderWrapper(): TextEncoderWrapper {
    const part = this.textFunctions.part("text_encoder", (inputs) => inputs.slice(0, 3));
    return new TextEncoderWrapper(part, this.shapes);
  }

  /** Makes the text decoder with the tutorial's signature. @param encoderShape as DecoderPaddedGenerator's. */
  textDecoderWrapper(encoderShape: readonly (number | "any")[]): DecoderPaddedGenerator {
    // All but the answer's own mask.
    const part = this.textFunctions.part("text_decoder", (inputs) => inputs.filter((_, i) => i !== 3));
    return new DecoderPaddedGenerator(part, this.shapes, encoderShape, this.config);
  }

  /** Releases the weights, and ends the thread. */
  async release(): Promise<void> {
    await this.#release();
    await this.executor.close();
  }
}

function readSource(name: string): Promise<string> {
  return readFile(packageFile(`../lib/blip/parts/checkpoint/${name}`), "utf8");
}

/** Opens the weights of all files as one dictionary. @param values gets what is to be disposed of. */
async function openAll(
  found: ReadonlyMap<string, StoredTensor>,
  functions: TorchFunctions,
  executor: Executor,
  values: TorchValue[],
): Promise<TorchValue> {
  const byFile = new Map<string, TensorEntry[]>();
  for (const [name, { file, dtype, shape, offset }] of found) {
    const entries = byFile.get(file) ?? [];
    byFile.set(file, entries);
    entries.push({ name, dtype, shape, offset });
  }
  let all: TorchValue | undefined;
  for (const [file, entries] of byFile) {
    const opened = await openTensors(file, entries, { executor });
    if (all === undefined) {
      all = opened;
      values.push(opened);
      continue;
    }
    try {
      await functions.call("put_all", [all, opened]);
    } finally {
      await opened.dispose();
    }
  }
  if (all === undefined) throw new TypeError("A checkpoint has weights.");
  return all;
}

/** Chooses how a model's weights are laid out on this CPU. */
function formsOf(dtype: "float32" | "bfloat16"): Forms {
  const has = native().hasBfloat16();
  const vision = has && dtype !== "float32" ? "bfloat16" : "float32";
  switch (dtype) {
    case "float32":
      return { visionLayers: vision, visionRest: vision, text: "float32" };
    case "bfloat16": {
      const half = native().hasQuantizedEngine("fbgemm") ? "half" : "float32";
      return { visionLayers: vision, visionRest: vision, text: has ? "bfloat16" : half };
    }
  }
}

/** Chooses as `formsOf`; of int8 what this libtorch multiplies right, and the rest as bfloat16. */
async function formsFor(dtype: CheckpointDtype, functions: TorchFunctions): Promise<Forms> {
  if (dtype !== "int8") return formsOf(dtype);
  const isRight = async (options: FunctionCallOptions) => {
    try {
      return await functions.call<boolean>("multiplies_right", [], options);
    } catch (error) {
      // It has no such engine.
      if (error instanceof NeuronBlipError && error.code === "EXECUTION_FAILED") return false;
      throw error;
    }
  };
  const { visionLayers, visionRest, text } = formsOf("bfloat16");
  return {
    visionLayers: (await isRight({ quantizedEngine: VISION_ENGINE })) ? "int8" : visionLayers,
    visionRest,
    text: (await isRight({})) ? "int8" : text,
  };
}
