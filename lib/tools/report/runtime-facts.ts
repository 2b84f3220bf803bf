import { native } from "../../torch/native.js";
import { findLibnrt } from "../../torch/neuron/find-libraries.js";

/** What the parts ran on. */
export type RanOn = "cpu" | "neuron" | "stand-in";

export interface RuntimeFacts {
  readonly libtorch: string;
  readonly cxx11Abi: number;
  /** The Neuron runtime's own words; undefined where none was found. */
  readonly libnrt?: string;
  readonly neuronCores?: { readonly total: number; readonly visible: number };
}

/**
 * The libraries of this process. It claims no NeuronCore.
 * @throws NeuronBlipError why the addon does not load.
 */
export function runtimeFacts(): RuntimeFacts {
  const { libtorchVersion: libtorch, cxx11Abi } = native();
  const { path } = findLibnrt();
  if (path === undefined) return { libtorch, cxx11Abi };
  try {
    const { version, totalCores: total, visibleCores: visible } = native().describeNrt(path);
    return { libtorch, cxx11Abi, libnrt: version, neuronCores: { total, visible } };
  } catch {
    return { libtorch, cxx11Abi, libnrt: "does not load" };
  }
}

/** What parts run on. A stand-in says so in its version; whoever uses one sets NEURON_BLIP_STAND_IN. */
export function ranOnOf(usesNeuron: boolean, { libnrt }: RuntimeFacts): RanOn {
  if (!usesNeuron) return "cpu";
  return process.env.NEURON_BLIP_STAND_IN || /stand-?in/i.test(libnrt ?? "") ? "stand-in" : "neuron";
}

export function ranOnWords(ranOn: RanOn | null): string {
  if (ranOn === "cpu") return "the CPU";
  if (ranOn === "neuron") return "NeuronCores";
  if (ranOn === "stand-in") return "a stand-in for the Neuron runtime: says nothing about hardware";
  return "nothing: no part was loaded";
}
