import { join } from "node:path";
import { NeuronBlipError, throwIfAborted } from "../errors.js";

import { loadNeuronRuntime, type NeuronRuntimeOptions, visibleCores } from "../torch/neuron/neuron-runtime.js";
import { TorchModule } from "../torch/torch-module.js";
import { untilAborted } from "../util/concurrency.js";
import type { Architecture } from "./heads.js";
import type { ReplicaOptions } from "./load-parts.js";
import { type LoadedReplica, loadReplicas, releaseReplica } from "./load-replicas.js";
import { holdsCompiledParts } from "./model-directory.js";
import { NeuronBlipForConditionalGeneration } from "./neuron-blip-for-conditional-generation.js";
import { NeuronBlipForImageTextRetrieval } from "./neuron-blip-for-image-text-retrieval.js";
import { NeuronBlipForQuestionAnswering } from "./neuron-blip-for-question-answering.js";
import type { NeuronBlipPreTrainedModel } from "./neuron-blip-pretrained-model.js";

interface ModelClass {
  fromParts(loaded: LoadedReplica, options: ReplicaOptions): Promise<NeuronBlipPreTrainedModel>;
}

const MODELS: Readonly<Record<Architecture, ModelClass>> = {
  BlipForQuestionAnswering: NeuronBlipForQuestionAnswering,
  BlipForConditionalGeneration: NeuronBlipForConditionalGeneration,
  BlipForImageTextRetrieval: NeuronBlipForImageTextRetrieval,
};

/**
 * Loads replicas of a model; all or none.
 * @throws NeuronBlipError as `loadReplicas`; `ABORTED` as soon as the signal is aborted: what is being loaded then is freed
 * when it is there.
 */
export async function loadModels(
  directory: string,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
  signal?: AbortSignal,
): Promise<NeuronBlipPreTrainedModel[]> {
  throwIfAborted(signal);
  // A checkpoint stops between two layers, too.
  const loading = loadAll(directory, architecture, replicas, signal ? { ...options, signal } : options);
  try {
    return await untilAborted(loading, signal);
  } catch (error) {
    // Where the loading itself has failed, there is nothing to free.
    loading.then((models) => Promise.all(models.map((model) => model.dispose()))).catch(() => {});
    throw error;
  }
}

async function loadAll(
  directory: string,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<NeuronBlipPreTrainedModel[]> {
  const loaded = await loadReplicas(directory, architecture, replicas, options);
  const models: NeuronBlipPreTrainedModel[] = [];
  try {
    for (const parts of loaded) models.push(await MODELS[architecture].fromParts(parts, options));
    return models;
  } catch (error) {
    await Promise.all(models.map((model) => model.dispose()));
    await Promise.all(loaded.slice(models.length).map(releaseReplica));
    throw error;
  }
}

/** Says how many replicas to load. @throws NeuronBlipError `NEURON_CORES_UNAVAILABLE` for more replicas than NeuronCores. */
export async function replicaCount(
  directory: string,
  numModels: number | "all",
  { cores, libtorchneuron }: NeuronRuntimeOptions,
): Promise<number> {
  const path = join(directory, "vision_model.pt");
  const isCheckpoint = !(await holdsCompiledParts(directory));
  if (isCheckpoint || numModels === 1 || !(await TorchModule.usesNeuron(path)))
    return numModels === "all" ? 1 : numModels;
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
