import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { neuronSitePackages } from "../neuron/find-libraries.js";
import { findTorchIn, readTorchDirectory, type TorchDirectory, torchesOfPython } from "./torch-directory.js";

/** A libtorch that the host has. */
export interface HostLibtorch {
  /** Who says that it is there, for people. */
  readonly origin: string;
  readonly torch: TorchDirectory;
  /** Whether it must be used: it was named, or NeuronCores need it. Others may be passed over. */
  readonly required: boolean;
}

export interface HostFiles {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The directory below which /opt and /dev are looked at. */
  readonly root: string;
}

/** The variables that name an active Python environment. */
export const ENVIRONMENT_VARIABLES = ["VIRTUAL_ENV", "CONDA_PREFIX"] as const;

/** Looks up what NEURON_BLIP_LIBTORCH names: "unset", "nothing" where there is no libtorch, or the libtorch that is there. */
export function namedLibtorch({ env }: HostFiles): HostLibtorch | "unset" | "nothing" {
  const named = env.NEURON_BLIP_LIBTORCH;
  if (!named) return "unset";
  const torch = findTorchIn(named);
  return torch === undefined ? "nothing" : { origin: "NEURON_BLIP_LIBTORCH names it", torch, required: true };
}

/**
 * Finds the libtorch of the active Python environments, then that of the newest of AWS Neuron's. They are known by their files; no
 * Python is run.
 */
export function pythonLibtorches({ env, root }: HostFiles): HostLibtorch[] {
  const hasNeuronCores = existsSync(join(root, "dev", "neuron0"));
  const found: HostLibtorch[] = [];
  for (const variable of ENVIRONMENT_VARIABLES) {
    const environment = env[variable];
    const torch = environment ? firstTorch(torchesOfPython(environment)) : undefined;
    if (environment === undefined || torch === undefined) continue;
    const required = hasNeuronCores && isOfNeuron(environment, torch);
    found.push({ origin: `the active Python environment, ${variable}`, torch, required });
  }
  const neuron = firstTorch(neuronSitePackages(join(root, "opt")).map((packages) => join(packages, "torch")));
  if (neuron !== undefined && found.every(({ torch }) => torch.directory !== neuron.directory)) {
    found.push({ origin: "AWS Neuron's Python environment", torch: neuron, required: hasNeuronCores });
  }
  return found;
}

function firstTorch(directories: readonly string[]): TorchDirectory | undefined {
  for (const directory of directories) {
    const torch = readTorchDirectory(directory);
    if (torch !== undefined) return torch;
  }
  return undefined;
}

function isOfNeuron(environment: string, { directory }: TorchDirectory): boolean {
  return basename(environment).startsWith("aws_neuronx_venv") || existsSync(join(dirname(directory), "torch_neuronx"));
}
