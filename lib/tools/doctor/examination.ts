import { type AddonFacts, readAddonFacts } from "./addon-facts.js";
import { type Detail, type Finding, problem, warning } from "./finding.js";
import type { Host } from "./host.js";
import { type ModelFacts, readModelFacts } from "./model-facts.js";
import { askNative, type NativeAnswer } from "./native-answer.js";
import { type NeuronFacts, readNeuronFacts } from "./neuron-facts.js";

export interface DoctorOptions {
  /** A model directory, to be checked against the host. */
  directory?: string | undefined;
  /** The directory of the tokenizer's files, where it is not the model's. */
  tokenizer?: string | undefined;
  /** How many replicas (`numModels`) are to be loaded. Default 1. */
  replicas?: number | undefined;
}

/** What a libnrt.so.1 says of itself; -1 and "" for what it does not say. */
export interface NrtDescription {
  readonly version: string;
  readonly totalCores: number;
  readonly visibleCores: number;
}

/** One host, being looked at: what several probes need is found out once, when the first of them asks. */
export class Examination {
  readonly host: Host;
  readonly options: DoctorOptions;
  readonly #known = new Map<string, Promise<unknown>>();

  constructor(host: Host, options: DoctorOptions) {
    this.host = host;
    this.options = options;
  }

  addon(): Promise<AddonFacts> {
    return this.#once("addon", () => readAddonFacts(this.host));
  }

  neuron(): Promise<NeuronFacts> {
    return this.#once("neuron", () => readNeuronFacts(this.host));
  }

  /** undefined where no directory was given. */
  model(): Promise<ModelFacts | undefined> {
    const { directory } = this.options;
    return this.#once("model", async () =>
      directory === undefined ? undefined : readModelFacts(this.host, directory, await this.addon()),
    );
  }

  /** What the Neuron runtime says; undefined where there is none, or where the addon that would ask does not load. */
  runtime(): Promise<NativeAnswer<NrtDescription> | undefined> {
    return this.#once("runtime", async () => {
      const { path } = (await this.neuron()).libnrt;
      if (path === undefined || (await this.addon()).answer?.ok !== true) return undefined;
      return askNative<NrtDescription>(this.host, "runtime", [path]);
    });
  }

  /** NeuronCores in all, as the driver or else the runtime tells; undefined where neither does. */
  async totalCores(): Promise<number | undefined> {
    const { driverCores } = await this.neuron();
    if (driverCores !== undefined) return driverCores;
    const runtime = await this.runtime();
    return runtime?.ok && runtime.value.totalCores >= 0 ? runtime.value.totalCores : undefined;
  }

  /**
   * A fault of Neuron's: a problem where the model needs Neuron, or where there are devices that nothing could be run on; a
   * warning where the CPU is all that is needed.
   */
  async neuronFault(
    id: string,
    what: string,
    cure: string,
    details: Record<string, Detail | undefined> = {},
  ): Promise<Finding> {
    const model = await this.model();
    const isNeeded = model ? model.needsNeuron : (await this.neuron()).hardware;
    return (isNeeded ? problem : warning)(id, what, cure, details);
  }

  #once<T>(name: string, get: () => Promise<T>): Promise<T> {
    const known = this.#known.get(name) ?? get();
    this.#known.set(name, known);
    return known as Promise<T>;
  }
}

/** Looks at one thing. What it throws becomes a finding with its id. */
export interface Probe {
  readonly id: string;
  /** Whether it looks at the model: left out where no directory was given. */
  readonly ofModel?: true;
  run(examination: Examination): Promise<Finding | readonly Finding[]>;
}
