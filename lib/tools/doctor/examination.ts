import { readBuiltWith } from "../../torch/binary/built-addons.js";
import { binaryHost, chooseBinary } from "../../torch/binary/choose-binary.js";
import type { Native } from "../../torch/native.js";
import type { Host } from "../report/host.js";
import type { About, Finding } from "./finding.js";
import { readModelFacts } from "./model-facts.js";
import { askNative } from "./native-answer.js";
import { readNeuronFacts } from "./neuron-facts.js";

export interface DoctorOptions {
  /** A model directory, to be checked against the host. */
  directory?: string | undefined;
  /** The directory of the tokenizer's files, where it is not the model's. */
  tokenizer?: string | undefined;
  /** How many replicas (`numModels`) are to be loaded. Default 1. */
  replicas?: number | undefined;
}

/** What the addon says once it is loaded. */
export interface LoadedAddon {
  readonly libtorchVersion: string;
  readonly cxx11Abi: number;
  /** Real paths of the libraries that came with it. */
  readonly libraries: readonly string[];
}

/** One host, being looked at: what several probes need is found out once, when the first of them asks. */
export class Examination {
  readonly host: Host;
  readonly options: DoctorOptions;

  constructor(host: Host, options: DoctorOptions) {
    this.host = host;
    this.options = options;
  }

  readonly addon = once(() => readAddonFacts(this.host));

  readonly neuron = once(() => readNeuronFacts(this.host));

  /** Reads the model's facts; undefined where no directory was given. */
  readonly model = once(async () => {
    const { directory } = this.options;
    return directory === undefined
      ? undefined
      : readModelFacts(this.host, directory, (await this.addon()).loaded !== undefined);
  });

  /** Asks the Neuron runtime what it is; undefined where there is none, or where the addon that would ask does not load. */
  readonly runtime = once(async () => {
    const { path } = (await this.neuron()).libnrt;
    if (path === undefined || !(await this.addon()).loaded) return undefined;
    return askNative<ReturnType<Native["describeNrt"]>>(this.host, "runtime", [path]);
  });

  /** Counts the NeuronCores in all, as the driver or else the runtime tells; undefined where neither does. */
  async totalCores(): Promise<number | undefined> {
    const { driverCores } = await this.neuron();
    if (driverCores !== undefined) return driverCores;
    const runtime = await this.runtime();
    return runtime?.ok && runtime.value.totalCores >= 0 ? runtime.value.totalCores : undefined;
  }

  /**
   * Grades a fault of Neuron's: a problem where the model needs Neuron, or where there are devices that nothing could be run on; a
   * warning where the CPU is all that is needed.
   */
  async fault({ problem, warning }: About, what: string, cure: string): Promise<Finding> {
    const model = await this.model();
    const isNeeded = model ? model.needsNeuron : (await this.neuron()).hardware;
    return (isNeeded ? problem : warning)(what, cure);
  }
}

function once<T>(get: () => Promise<T>): () => Promise<T> {
  let known: Promise<T> | undefined;
  return () => {
    known ??= get();
    return known;
  };
}

/** Looks for the addon and loads it in a child process. */
async function readAddonFacts(host: Host) {
  /** Which addon is loaded with which libtorch, and why. */
  const decision = chooseBinary(binaryHost({ env: host.env, root: host.root }));
  const { addon } = decision.chosen ?? {};
  /** undefined where there is no addon, or none at the place that was named. */
  const answer = addon && (await host.exists(addon)) ? await askNative<LoadedAddon>(host, "addon") : undefined;
  const builtWith = addon ? readBuiltWith(addon) : undefined;
  return { decision, answer, loaded: answer?.ok ? answer.value : undefined, builtWith };
}
