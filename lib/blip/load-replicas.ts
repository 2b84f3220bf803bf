import { NeuronBlipError } from "../errors.js";
import { splitHubOptions } from "../hub/hub-options.js";
import { itemAt } from "../util/item-at.js";
import type { ModelDirectory } from "../util/model-path.js";
import { type BlipConfig, readBlipConfig } from "./blip-config.js";
import type { Architecture } from "./heads.js";
import { loadParts, type ReplicaOptions, releaseParts } from "./load-parts.js";
import type { LoadedParts } from "./loaded-parts.js";
import { holdsCompiledParts, modelDirectoryOf } from "./model-directory.js";
import type { LoadedCheckpoint } from "./parts/checkpoint/checkpoint.js";
import { checkDtype, loadCheckpoint } from "./parts/checkpoint/load-checkpoint.js";

/** What one replica of a model runs: compiled parts, or a checkpoint's functions. */
export type LoadedReplica = LoadedParts | LoadedCheckpoint;

/**
 * Loads a model directory once for each replica: its compiled parts, where there are any, or else its checkpoint.
 * @param replicas which to load: on Neuron, replica k's parts are put on the k-th visible core.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `INVALID_INPUT`, `NEURON_RUNTIME_NOT_FOUND`,
 * `NEURON_RUNTIME_MISMATCH`, `NEURON_CORES_UNAVAILABLE`, `NEURON_EXECUTION`, or why the addon does not load.
 */
export async function loadReplicas(
  given: ModelDirectory,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<LoadedReplica[]> {
  checkDtype(options.dtype);
  const [hub] = splitHubOptions(options);
  const directory = await modelDirectoryOf(given, hub);
  const config = await readBlipConfig(directory);
  checkArchitecture(directory, config, architecture);
  return (await holdsCompiledParts(directory))
    ? loadParts(directory, config, replicas, options)
    : loadCheckpoint(directory, config, replicas.length, options);
}

/** Loads one replica: see `loadReplicas`. */
export async function loadReplica(
  directory: ModelDirectory,
  architecture: Architecture,
  options: ReplicaOptions,
): Promise<LoadedReplica> {
  return itemAt(await loadReplicas(directory, architecture, [0], options), 0);
}

/** Frees what a replica runs and ends its thread. */
export function releaseReplica(loaded: LoadedReplica): Promise<void> {
  return loaded.kind === "compiled" ? releaseParts(loaded) : loaded.release();
}

function checkArchitecture(directory: string, config: BlipConfig, architecture: Architecture): void {
  if (config.architecture === architecture) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${directory}" holds a ${config.architecture}, not a ${architecture}. NeuronBlip.fromPretrained loads either.`,
  );
}
