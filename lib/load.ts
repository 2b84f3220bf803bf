import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type BlipConfig, readBlipConfig } from "./blip/blip-config.js";
import { readGenerationDefaults } from "./blip/generation-defaults.js";
import type { Architecture } from "./blip/heads.js";
import { loadModels, replicaCount } from "./blip/load-models.js";
import { holdsCompiledParts, modelDirectoryOf } from "./blip/model-directory.js";
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import { pictureSizeOf } from "./blip/parts/checkpoint/load-checkpoint.js";
import { weightFilesOf } from "./blip/parts/checkpoint/weight-files.js";
import { NeuronBlipError } from "./errors.js";
import { splitHubOptions, withoutRevision } from "./hub/hub-options.js";
import { directoryOf } from "./hub/model-directory.js";
import { setDecoderThreads, warmUpDecoding } from "./images/load-image.js";
import { type NeuronBlipOptions, readLoadingOptions } from "./options.js";
import { BlipProcessor, type PictureOptions } from "./processing/blip-processor.js";
import type { Recovery } from "./serving/replicas.js";
import { TorchModule } from "./torch/torch-module.js";
import { itemAt } from "./util/item-at.js";
import type { ModelDirectory } from "./util/model-path.js";

/** What fromPretrained has made. */
export interface Loaded {
  readonly processor: BlipProcessor;
  readonly architecture: Architecture;
  readonly models: readonly NeuronBlipPreTrainedModel[];
  readonly recovery: Pick<Recovery<NeuronBlipPreTrainedModel>, "reload" | "delayMs" | "maxAttempts">;
  /** Whether the parts run on NeuronCores. */
  readonly onNeuron: boolean;
  /** Whether the model draws tokens where a call does not say. */
  readonly samples: boolean;
  readonly options: NeuronBlipOptions;
}

/**
 * Loads a model, with its processor: what is quick to fail first.
 * @throws NeuronBlipError as `NeuronBlip.fromPretrained`.
 */
export async function load(given: ModelDirectory, loading: NeuronBlipOptions): Promise<Loaded> {
  const options = readLoadingOptions(loading);
  const { numModels = 1, tokenizer, reloadDelayMs = 1000, maxReloadAttempts = 5, decoderThreads, ...rest } = options;
  const [hub, replicaOptions] = splitHubOptions(rest);
  const { signal } = hub;
  const { size } = options;
  const directory = await modelDirectoryOf(given, hub);
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
  const loadReplicas = (replicas: readonly number[], verify: boolean, signal?: AbortSignal) =>
    loadModels(directory, architecture, replicas, { ...replicaOptions, threads, verify }, signal);
  // Where it cannot be read, loading it says why.
  const onNeuron = isCompiled && (await TorchModule.usesNeuron(join(directory, "vision_model.pt")).catch(() => false));
  const { doSample: samples = false } = await readGenerationDefaults(
    join(directory, "generation_config.json"),
    config.vocabSize,
  );
  if (decoderThreads !== undefined) setDecoderThreads(decoderThreads);
  // What is wrong with it, the first picture tells.
  if (options.warmUp !== false) void warmUpDecoding().catch(() => {});
  const models = await loadReplicas(
    Array.from({ length: count }, (_, i) => i),
    options.verify !== false,
    signal,
  );
  const reload = async (replica: number) => itemAt(await loadReplicas([replica], false), 0);
  const recovery = { reload, delayMs: reloadDelayMs, maxAttempts: maxReloadAttempts };
  return { processor, architecture, models, recovery, onNeuron, samples, options };
}

/** Picks the options that say how pictures may come. */
export function picturesOf({ maxPixels, maxBytes, fetch, files }: NeuronBlipOptions): PictureOptions {
  return {
    ...(maxPixels !== undefined && { maxPixels }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(fetch !== undefined && { fetch }),
    ...(files !== undefined && { files }),
  };
}

/** Checks a processor. @throws NeuronBlipError `ARTIFACT_MISMATCH` for pictures and tokens that the model does not take. */
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
