import { stat } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import type { NeuronRuntimeOptions } from "../neuron/neuron-runtime.js";
import { CompiledPart } from "../runtime/compiled-part.js";
import { checkCount, Executor } from "../runtime/executor.js";
import { TorchModule } from "../runtime/torch-module.js";
import { type BlipConfig, readBlipConfig } from "./blip-config.js";
import { type Architecture, HEADS, inputCountOf, type PartName } from "./heads.js";
import { batchSizesOf, type Manifest, partKey, readManifest, verifyPart } from "./manifest.js";

export interface ReplicaOptions extends NeuronRuntimeOptions {
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
}

/** A model directory's parts, loaded on one thread. */
export interface LoadedParts {
  readonly directory: string;
  readonly config: BlipConfig;
  readonly manifest: Manifest | undefined;
  readonly executor: Executor;
  readonly parts: ReadonlyMap<PartName, CompiledPart>;
}

/**
 * Loads the parts of a model directory, after comparing them with its manifest, once for each replica.
 * @param replicas which to load: on Neuron, replica k's parts are put on the k-th visible core.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`, `NEURON_RUNTIME_NOT_FOUND`,
 * `NEURON_RUNTIME_MISMATCH`, `NEURON_CORES_UNAVAILABLE`, `NEURON_EXECUTION`, or why the addon does not load.
 */
export async function loadReplicas(
  directory: string,
  architecture: Architecture,
  replicas: readonly number[],
  options: ReplicaOptions,
): Promise<LoadedParts[]> {
  const { callsInFlight = 2, threads } = options;
  checkCount("callsInFlight", callsInFlight, 1, 64);
  await checkModelDirectory(directory);
  const config = await readBlipConfig(directory);
  if (config.architecture !== architecture) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${directory}" holds a ${config.architecture}, not a ${architecture}. NeuronBlip.fromPretrained loads either.`,
    );
  }
  const manifest = await readManifest(directory, architecture);
  if (manifest && options.verify !== false) {
    await Promise.all(Object.values(manifest.parts).map((part) => verifyPart(directory, part)));
  }
  const { parts: required, optionalParts } = HEADS[architecture];
  const names = [...required, ...optionalParts.filter((name) => manifest?.parts[name] !== undefined)];
  const loaded = replicas.map(() => {
    const executor = new Executor(threads === undefined ? {} : { threads });
    return { directory, config, manifest, executor, parts: new Map<PartName, CompiledPart>() };
  });
  try {
    // The tutorial's order: every replica's first part, then every second. The runtime puts each load on the core that
    // holds least, so that a replica's parts come together even where they cannot be placed.
    for (const name of names) {
      for (const { executor, parts } of loaded) {
        const modules = new Map<number, TorchModule>();
        parts.set(name, new CompiledPart(modules));
        for (const batchSize of batchSizesOf(manifest)) {
          const file = join(directory, `${partKey(name, batchSize, manifest)}.pt`);
          const first = loaded[0]?.parts.get(name)?.moduleFor(batchSize);
          // On the CPU replicas share the first one's weights; each NeuronCore holds its own.
          const shared = first && !first.usesNeuron ? first.shareOn(executor) : undefined;
          const module = shared ?? (await TorchModule.load(file, { ...options, executor }));
          modules.set(batchSize, module);
          checkInputCount(name, module, names);
        }
        parts.set(name, new CompiledPart(modules));
      }
    }
    for (const [i, { executor, parts }] of loaded.entries()) {
      const onNeuron = [...parts.values()].flatMap((part) => part.modules).filter((module) => module.usesNeuron);
      if (onNeuron.length > 0) executor.grow(callsInFlight);
      for (const module of onNeuron) await module.setNeuronCores(replicas[i] as number);
    }
    return loaded;
  } catch (error) {
    await Promise.all(loaded.map(releaseParts));
    throw error;
  }
}

/** Loads one replica: see `loadReplicas`. */
export async function loadParts(
  directory: string,
  architecture: Architecture,
  options: ReplicaOptions,
): Promise<LoadedParts> {
  const [loaded] = await loadReplicas(directory, architecture, [0], options);
  return loaded as LoadedParts;
}

/** Frees the parts and ends their thread. */
export async function releaseParts({ executor, parts }: Pick<LoadedParts, "executor" | "parts">): Promise<void> {
  const modules = [...parts.values()].flatMap((part) => part.modules);
  await Promise.all(modules.map((module) => module.dispose()));
  await executor.close();
}

/** A part that is known to be loaded. */
export function partOf({ parts }: Pick<LoadedParts, "parts">, name: PartName): CompiledPart {
  return parts.get(name) as CompiledPart;
}

/** @throws NeuronBlipError `ARTIFACT_NOT_FOUND` where there is no such directory. */
export async function checkModelDirectory(directory: string): Promise<void> {
  const found = await stat(directory).catch((cause) => {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `There is no model directory "${directory}". Make one with \`npx neuron-blip compile MODEL ${directory}\`.`,
      { cause },
    );
  });
  if (!found.isDirectory()) {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `"${directory}" is not a directory; a model is a directory of parts.`,
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
