import { readFile } from "node:fs/promises";
import { throwIfAborted } from "../../../errors.js";
import type { Executor } from "../../../torch/executor.js";
import { native } from "../../../torch/native.js";
import { openTensors, type TensorEntry } from "../../../torch/tensor-file.js";
import { type FunctionInput, TorchFunctions, type TorchValue } from "../../../torch/torch-functions.js";
import type { TorchOutput } from "../../../torch/torch-module.js";
import { packageFile } from "../../../util/package-file.js";
import type { Architecture } from "../../heads.js";
import type { CheckpointConfig, KeysValuesDtype } from "./checkpoint-config.js";
import { readWeights } from "./weight-files.js";
import { type StoredTensor, TEXT_MODELS } from "./weights.js";

/**
 * The number type of a checkpoint's weights while it runs: "float32", the model's own answers; "bfloat16"; "int8", for the text
 * models' linears alone.
 */
export type CheckpointDtype = "float32" | "bfloat16" | "int8";

/** How linears.torchscript lays weights out: see there. */
type Form = "float32" | "bfloat16" | "half" | "int8";

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
    const { config, weights: found } = await readWeights(directory, architecture);
    throwIfAborted(signal);
    const source = (await Promise.all(SOURCES.map(readSource))).join("\n");
    const functions = await TorchFunctions.compile(source, { executor, name: "blip.torchscript" });
    const values: TorchValue[] = [];
    try {
      const forms = formsOf(dtype);
      const weights = await openAll(found, functions, executor, values);
      const packed = await functions.keep("no_packed_linears", []);
      values.push(packed);
      const prepare = async (name: string, ...inputs: FunctionInput[]) => {
        throwIfAborted(signal);
        await functions.call(name, [weights, packed, ...inputs]);
      };
      if (forms.text === "int8") await prepare("find_saturation");
      for (let i = 0; i < config.vision.layers; i++) {
        await prepare("prepare_vision_layer", i, forms.vision, imageTokens);
      }
      await prepare("prepare_vision_rest", forms.vision);
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

  /** Calls a function on an executor's threads. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`. */
  call(executor: Executor, name: string, inputs: readonly FunctionInput[]): Promise<TorchOutput> {
    return this.#functions.call(name, [this.#weights, this.#packed, ...inputs], { executor });
  }

  /** Frees the weights after the calls made before. May be called twice. */
  async dispose(): Promise<void> {
    await Promise.all([this.#functions, this.#weights, this.#packed].map((value) => value.dispose()));
  }
}

function readSource(name: string): Promise<string> {
  return readFile(packageFile(`../lib/blip/parts/checkpoint/${name}`), "utf8");
}

/** The weights of all files as one dictionary. @param values gets what is to be disposed of. */
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
  return all as TorchValue;
}

/** How each model's weights are laid out on this CPU. */
function formsOf(dtype: CheckpointDtype): { vision: Form; text: Form } {
  const has = native().hasBfloat16();
  const half = native().hasHalfWeights() ? "half" : "float32";
  switch (dtype) {
    case "float32":
      return { vision: "float32", text: "float32" };
    case "bfloat16":
      return { vision: has ? "bfloat16" : "float32", text: has ? "bfloat16" : half };
    case "int8":
      // A picture's many rows gain nothing from weights of 8 bits, but for the rounding.
      return { vision: has ? "bfloat16" : "float32", text: "int8" };
  }
}
