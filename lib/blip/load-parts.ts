import { join } from "node:path";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import { HUB_OPTIONS, type HubOptions } from "../hub/hub-options.js";
import { CompiledPart } from "../torch/compiled-part.js";
import { checkCount, Executor } from "../torch/executor.js";
import type { NeuronRuntimeOptions } from "../torch/neuron/neuron-runtime.js";
import { SharedFile } from "../torch/shared-file.js";
import { TorchModule } from "../torch/torch-module.js";
import { itemAt } from "../util/item-at.js";
import type { BlipConfig } from "./blip-config.js";
import { tellOfEarlierCpuParts } from "./earlier-cpu-parts.js";
import { HEADS, inputCountOf, type PartName } from "./heads.js";
import type { LoadedParts } from "./loaded-parts.js";
import { batchSizesOf, partKey, readManifest, verifyFile } from "./manifest.js";
import { checkManifestShapes } from "./manifest-shapes.js";
import { warmUpOnNeuron } from "./neuron-warm-up.js";
import type { CheckpointLoadOptions } from "./parts/checkpoint/load-checkpoint.js";

const OPTIONS: readonly (keyof ReplicaOptions)[] = [
  "threads",
  "verify",
  "questionLength",
  "answerLength",
  "callsInFlight",
  "warmUp",
  "libtorchneuron",
  "cores",
  "dtype",
  "interpolatePosEncoding",
  "size",
  ...HUB_OPTIONS,
];

export interface ReplicaOptions extends NeuronRuntimeOptions, CheckpointLoadOptions, HubOptions {
  /** Compare the files with the manifest's SHA-256 before loading them. Default true. */
  verify?: boolean;
  /**
   * How many calls a replica may have on its NeuronCore at once, so that one's transfers overlap another's work. Default 2;
   * on the CPU always 1.
   */
  callsInFlight?: number;
  /**
   * Whether to run parts for Neuron twice while they are loaded (a part that hangs does so on its second call at the latest).
   * `NeuronBlip` also starts a thread that decodes pictures then. Default true.
   */
  warmUp?: boolean;
}

/**
 * Loads the parts of a compiled model directory, after comparing them with its manifest, once for each replica.
 * @param replicas which to load: on Neuron, replica k's parts are put on the k-th visible core.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
 * `NEURON_RUNTIME_MISMATCH`, `NEURON_CORES_UNAVAILABLE`, `NEURON_EXECUTION`, or why the addon does not load.
 */
export async function loadParts(
  directory: string,
  config: BlipConfig,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<LoadedParts[]> {
  checkNotForCheckpoints(directory, options);
  const { callsInFlight = 2, threads } = options;
  const { architecture } = config;
  checkCount("callsInFlight", callsInFlight, 1, 64);
  const manifest = await readManifest(directory, architecture);
  if (manifest) checkManifestShapes(manifest, config);
  await tellOfEarlierCpuParts(directory, manifest);
  if (manifest && options.verify !== false) {
    await Promise.all(Object.values(manifest.parts).map((part) => verifyFile(directory, part)));
  }
  const { parts: required, optionalParts } = HEADS[architecture];
  const names = [...required, ...optionalParts.filter((name) => manifest?.parts[name] !== undefined)];
  const executors = replicas.map(() => new Executor(threads === undefined ? {} : { threads }));
  let loaded: LoadedParts[] = [];
  try {
    const loading = executors.map((executor) => ({ executor, parts: new Map<PartName, CompiledPart>() }));
    loaded = loading.map((each) => ({ kind: "compiled", directory, config, manifest, ...each }));
    const coreOf = (executor: Executor) => itemAt(replicas, executors.indexOf(executor));
    // The tutorial's order: every replica's first part, then every second. Most runtimes put each load on the core that
    // holds least, so that a replica's parts come together even where they cannot be placed.
    for (const name of names) {
      throwIfAborted(options.signal);
      const files = batchSizesOf(manifest).map((batchSize) => {
        const path = join(directory, `${partKey(name, batchSize, manifest)}.pt`);
        const file = new SharedFile(path, async (path, executor) => {
          const neuronCore = coreOf(executor);
          const module = await TorchModule.load(path, { ...options, executor, neuronCore });
          try {
            checkInputCount(name, module, names);
          } catch (error) {
            await module.dispose();
            throw error;
          }
          return module;
        });
        return [batchSize, file] as const;
      });
      for (const { executor, parts } of loading) {
        const modules = new Map<number, TorchModule>();
        parts.set(name, new CompiledPart(modules));
        for (const [batchSize, file] of files) {
          modules.set(batchSize, await file.on(executor));
        }
        parts.set(name, new CompiledPart(modules));
      }
    }
    for (const { executor, parts } of loaded) {
      const onNeuron = [...parts.values()].flatMap((part) => part.modules).filter((module) => module.usesNeuron);
      if (onNeuron.length === 0) continue;
      executor.grow(callsInFlight);
      // A load that returned before it was done may have met another's core.
      const { lazy_load: lazy = false, async_load: async = false } = manifest?.neuron_options ?? {};
      if (lazy || async) for (const module of onNeuron) await module.setNeuronCores(coreOf(executor));
    }
    if (manifest && options.warmUp !== false)
      await Promise.all(loaded.map((replica) => warmUpOnNeuron(replica, manifest)));
    return loaded;
  } catch (error) {
    await Promise.all(loaded.map(releaseParts));
    await Promise.all(executors.map((executor) => executor.close()));
    throw error;
  }
}

/** Reads a replica's options. @throws NeuronBlipError `INVALID_INPUT` for options that do not exist. */
export function readReplicaOptions(options: ReplicaOptions): ReplicaOptions {
  return readOptions(options, "fromPretrained", OPTIONS);
}

/** Frees the parts and ends their thread. */
export async function releaseParts({ executor, parts }: LoadedParts): Promise<void> {
  await Promise.all([...parts.values()].map((part) => part.dispose()));
  await executor.close();
}

/** Returns a part that is known to be loaded. */
export function partOf({ parts }: Pick<LoadedParts, "parts">, name: PartName): CompiledPart {
  const part = parts.get(name);
  if (part === undefined) throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `The part ${name} is not loaded.`);
  return part;
}

/** Refuses options that say how a checkpoint runs: what was compiled has that in it. @throws NeuronBlipError `INVALID_INPUT` */
function checkNotForCheckpoints(directory: string, options: CheckpointLoadOptions): void {
  for (const name of ["dtype", "interpolatePosEncoding", "size"] as const) {
    if (options[name] === undefined) continue;
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} is for checkpoints, and "${directory}" holds compiled parts. Leave the option out, or give the directory of the checkpoint.`,
    );
  }
}

function checkInputCount(name: PartName, { path, signature }: TorchModule, names: readonly PartName[]): void {
  const count = signature.inputs.length;
  if (count === inputCountOf(name)) return;
  const really = names.find((other) => inputCountOf(other) === count);
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" takes ${count} inputs, and a ${name} takes ${inputCountOf(name)}${really ? `: it looks like a ${really}` : ""}. ` +
      "Were files swapped? Compile the model again.",
  );
}
