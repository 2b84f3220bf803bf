import { join } from "node:path";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import { HUB_OPTIONS, type HubOptions, splitHubOptions } from "../hub/hub-options.js";
import { type ModelDirectory, modelDirectoryOf } from "../model-directory.js";
import type { NeuronRuntimeOptions } from "../neuron/neuron-runtime.js";
import { CompiledPart } from "../runtime/compiled-part.js";
import { checkCount, Executor } from "../runtime/executor.js";
import { LazyModule } from "../runtime/lazy-module.js";
import { SharedFile } from "../runtime/shared-file.js";
import { TorchModule } from "../runtime/torch-module.js";
import { type BlipConfig, readBlipConfig } from "./blip-config.js";
import { type CpuParts, loadCpuParts } from "./cpu-parts.js";
import { type Architecture, HEADS, inputCountOf, type PartName, STANDS_IN_FOR } from "./heads.js";
import { allPartsOf, batchSizesOf, type Manifest, partKey, readManifest, verifyPart } from "./manifest.js";
import { checkManifestShapes } from "./manifest-shapes.js";
import { warmUpOnNeuron } from "./neuron-warm-up.js";

const OPTIONS: readonly (keyof ReplicaOptions)[] = [
  "threads",
  "verify",
  "questionLength",
  "answerLength",
  "callsInFlight",
  "warmUp",
  "libtorchneuron",
  "cores",
  ...HUB_OPTIONS,
];

export interface ReplicaOptions extends NeuronRuntimeOptions, HubOptions {
  /** How many cores of the CPU the replica may use. Default: libtorch's own choice. */
  threads?: number;
  /** Compare the files with the manifest's SHA-256 before loading them. Default true. */
  verify?: boolean;
  /** The longest question, for a directory without a manifest. Default: found by trial. */
  questionLength?: number;
  /** The compiled length of answers, for a directory without a manifest. Default: found by trial. */
  answerLength?: number;
  /**
   * How many calls a replica may have on its NeuronCore at once, so that one's transfers overlap another's work. Default 2;
   * on the CPU always 1.
   */
  callsInFlight?: number;
  /**
   * Whether to run the parts for the CPU once while they are loaded, and those for Neuron twice (a part that hangs does so on
   * its second call at the latest), and to start a thread that decodes pictures, so that the first calls are as fast as later
   * ones. Default true; loading takes about as long as one answer more.
   */
  warmUp?: boolean;
}

/** A model directory's parts, loaded on one thread. */
export interface LoadedParts {
  readonly directory: string;
  readonly config: BlipConfig;
  readonly manifest: Manifest | undefined;
  readonly executor: Executor;
  /** Those that `cpuParts` stand in for are loaded when they are first used. */
  readonly parts: ReadonlyMap<PartName, CompiledPart>;
  /** The further parts for the CPU, where there are any and libtorch runs them. */
  readonly cpuParts: CpuParts | undefined;
}

/**
 * Loads the parts of a model directory, after comparing them with its manifest, once for each replica.
 * @param replicas which to load: on Neuron, replica k's parts are put on the k-th visible core.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
 * `NEURON_RUNTIME_MISMATCH`, `NEURON_CORES_UNAVAILABLE`, `NEURON_EXECUTION`, or why the addon does not load.
 */
export async function loadReplicas(
  given: ModelDirectory,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<LoadedParts[]> {
  const { callsInFlight = 2, threads } = options;
  checkCount("callsInFlight", callsInFlight, 1, 64);
  const [hub] = splitHubOptions(options);
  const directory = await modelDirectoryOf(given, hub);
  const config = await readBlipConfig(directory);
  if (config.architecture !== architecture) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}" holds a ${config.architecture}, not a ${architecture}. NeuronBlip.fromPretrained loads either.`,
    );
  }
  const manifest = await readManifest(directory, architecture);
  if (manifest) checkManifestShapes(manifest, config);
  if (manifest && options.verify !== false) {
    await Promise.all(Object.values(allPartsOf(manifest)).map((part) => verifyPart(directory, part)));
  }
  const { parts: required, optionalParts, cpuParts: cpuPartNames } = HEADS[architecture];
  const names = [...required, ...optionalParts.filter((name) => manifest?.parts[name] !== undefined)];
  const executors = replicas.map(() => new Executor(threads === undefined ? {} : { threads }));
  let loaded: LoadedParts[] = [];
  try {
    const cpuParts =
      manifest?.cpu_parts &&
      (await loadCpuParts(directory, manifest.cpu_parts, executors, {
        architecture,
        config,
        warmUp: options.warmUp !== false,
      }));
    const superseded = new Set(cpuParts && cpuPartNames.flatMap((name) => STANDS_IN_FOR[name]));
    const maps = executors.map(() => new Map<PartName, CompiledPart>());
    loaded = executors.map((executor, i) => {
      return {
        directory,
        config,
        manifest,
        executor,
        parts: maps[i] as Map<PartName, CompiledPart>,
        cpuParts: cpuParts?.[i],
      };
    });
    const coreOf = new Map(executors.map((executor, i) => [executor, replicas[i] as number]));
    // The tutorial's order: every replica's first part, then every second. Most runtimes put each load on the core that
    // holds least, so that a replica's parts come together even where they cannot be placed.
    for (const name of names) {
      throwIfAborted(hub.signal);
      const files = batchSizesOf(manifest).map((batchSize) => {
        const path = join(directory, `${partKey(name, batchSize, manifest)}.pt`);
        const file = new SharedFile(path, async (path, executor) => {
          const neuronCore = coreOf.get(executor) as number;
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
      for (const [i, executor] of executors.entries()) {
        const modules = new Map<number, TorchModule | LazyModule>();
        maps[i]?.set(name, new CompiledPart(modules));
        for (const [batchSize, file] of files) {
          const module = superseded.has(name)
            ? new LazyModule(file.path, () => file.on(executor))
            : await file.on(executor);
          modules.set(batchSize, module);
        }
        maps[i]?.set(name, new CompiledPart(modules));
      }
    }
    for (const { executor, parts } of loaded) {
      const onNeuron = [...parts.values()].flatMap((part) => part.modules).filter((module) => module.usesNeuron);
      if (onNeuron.length === 0) continue;
      executor.grow(callsInFlight);
      // A load that returned before it was done may have met another's core.
      const { lazy_load: lazy = false, async_load: async = false } = manifest?.neuron_options ?? {};
      if (lazy || async) for (const module of onNeuron) await module.setNeuronCores(coreOf.get(executor) as number);
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

/** @throws NeuronBlipError `INVALID_INPUT` for options that do not exist. */
export function readReplicaOptions(options: ReplicaOptions): ReplicaOptions {
  return readOptions(options, "fromPretrained", OPTIONS);
}

/** Loads one replica: see `loadReplicas`. */
export async function loadParts(
  directory: ModelDirectory,
  architecture: Architecture,
  options: ReplicaOptions,
): Promise<LoadedParts> {
  const [loaded] = await loadReplicas(directory, architecture, [0], options);
  return loaded as LoadedParts;
}

/** Frees the parts and ends their thread. */
export async function releaseParts({ executor, parts, cpuParts }: LoadedParts): Promise<void> {
  await Promise.all([...parts.values(), ...(cpuParts ? [cpuParts] : [])].map((part) => part.dispose()));
  await executor.close();
}

/** A part that is known to be loaded. */
export function partOf({ parts }: Pick<LoadedParts, "parts">, name: PartName): CompiledPart {
  return parts.get(name) as CompiledPart;
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
