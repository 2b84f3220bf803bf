import { join } from "node:path";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { Executor } from "../runtime/executor.js";
import { lacksOperators } from "../runtime/module-error.js";
import { SharedFile } from "../runtime/shared-file.js";
import { TorchModule } from "../runtime/torch-module.js";
import { Tensor } from "../tensor.js";
import { type BlipConfig, imageTokensOf } from "./blip-config.js";
import { type Architecture, type CpuPartName, HEADS, inputCountOf } from "./heads.js";
import { type CpuPartsSpec, type PartSpec, verifyPart } from "./manifest.js";
import { TextDecoderCached } from "./text-decoder-cached.js";
import { TextEncoderCached } from "./text-encoder-cached.js";
import { VisionModelWrapper } from "./vision-model-wrapper.js";

/** A question's length, as most are. */
const USUAL_LENGTH = 8;

/** The further parts for the CPU, on one replica's thread. */
export class CpuParts {
  readonly visionModel: VisionModelWrapper;
  /** Of question answering. */
  readonly textEncoder: TextEncoderCached | undefined;
  /** Of question answering and captions. */
  readonly textDecoder: TextDecoderCached | undefined;
  readonly #modules: readonly TorchModule[];
  readonly #config: BlipConfig;

  constructor(modules: ReadonlyMap<CpuPartName, TorchModule>, { dtype, parts }: CpuPartsSpec, config: BlipConfig) {
    this.#modules = [...modules.values()];
    this.#config = config;
    const encoder = modules.get("text_encoder_cached");
    const decoder = modules.get("text_decoder_cached");
    this.visionModel = new VisionModelWrapper(modules.get("vision_model_fused") as TorchModule, config);
    const shapes = { imageTokens: imageTokensOf(config), visionHiddenSize: config.visionHiddenSize };
    this.textEncoder = encoder && new TextEncoderCached(encoder, dtype, shapes);
    this.textDecoder = decoder && new TextDecoderCached(decoder, dtype, pastShape(parts.text_decoder_cached), config);
  }

  /** Runs every part once, so that no first call is slow. */
  async warmUp(): Promise<void> {
    const { imageSize, textHiddenSize, visionHiddenSize } = this.#config;
    using pixels = Tensor.zeros("float32", [1, 3, imageSize, imageSize]);
    const { lastHiddenState, poolerOutput } = await this.visionModel.forward(pixels);
    lastHiddenState.dispose();
    poolerOutput.dispose();
    await this.textEncoder?.warmUp();
    // What a question's answer attends to, or a caption.
    await this.textDecoder?.warmUp(
      this.textEncoder ? [USUAL_LENGTH, textHiddenSize] : [imageTokensOf(this.#config), visionHiddenSize],
    );
  }

  /** Frees the parts after the calls made before. */
  async dispose(): Promise<void> {
    await Promise.all(this.#modules.map((module) => module.dispose()));
  }
}

/** @throws NeuronBlipError `ARTIFACT_MISMATCH` for a manifest that does not say the shape of the past. */
function pastShape({ file, inputs }: PartSpec): { layers: number; heads: number; headSize: number } {
  const [layers = 0, , , heads = 0, , headSize = 0] = inputs[1]?.shape ?? [];
  if ([layers, heads, headSize].every((size) => Number.isSafeInteger(size) && size > 0))
    return { layers, heads, headSize };
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `neuron_blip.json does not say the shape of ${file}'s keys and values. Compile the model again.`,
  );
}

export interface CpuPartsOptions {
  architecture: Architecture;
  config: BlipConfig;
  /** Whether to run each part once. */
  warmUp: boolean;
}

/**
 * Loads the further parts for the CPU for each executor, with the same weights.
 * @returns for each executor its parts; undefined where this libtorch does not run them, with a process warning.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_MISMATCH`, and whatever is no fault of libtorch's.
 */
export async function loadCpuParts(
  directory: string,
  spec: CpuPartsSpec,
  executors: readonly Executor[],
  { architecture, config, warmUp }: CpuPartsOptions,
): Promise<CpuParts[] | undefined> {
  const names = HEADS[architecture].cpuParts;
  const files = new Map(
    names.map((name) => [
      name,
      new SharedFile(join(directory, spec.parts[name].file), (path, executor) => TorchModule.load(path, { executor })),
    ]),
  );
  const loaded: TorchModule[] = [];
  try {
    const all: CpuParts[] = [];
    for (const executor of executors) {
      const modules = new Map<CpuPartName, TorchModule>();
      for (const [name, file] of files) {
        const module = await file.on(executor);
        loaded.push(module);
        modules.set(name, module);
        checkInputCount(name, module);
      }
      all.push(new CpuParts(modules, spec, config));
    }
    if (warmUp) await Promise.all(all.map((parts) => parts.warmUp()));
    return all;
  } catch (error) {
    await Promise.all(loaded.map((module) => module.dispose()));
    const { code } = error as NeuronBlipError;
    if (code !== "ARTIFACT_CORRUPT" && code !== "EXECUTION_FAILED" && !lacksOperators(error)) throw error;
    // A file that is what the manifest says is not at fault.
    for (const name of names) await verifyPart(directory, spec.parts[name]);
    process.emitWarning(
      `The parts for the CPU in "${directory}" do not run with this libtorch, and the slower ones are used: ` +
        `${messageOf(error)} Build the addon with libtorch 2.1 or later that has oneDNN, compile on this machine, or compile with --tutorial-parts-only.`,
      { type: "NeuronBlipWarning", code: "NEURON_BLIP_CPU_PARTS" },
    );
    return undefined;
  }
}

function checkInputCount(name: CpuPartName, { path, signature }: TorchModule): void {
  const count = signature.inputs.length;
  if (count === inputCountOf(name)) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" takes ${count} inputs, and a ${name} takes ${inputCountOf(name)}. Were files swapped? Compile the model again.`,
  );
}
