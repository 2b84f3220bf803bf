import { join } from "node:path";
import {
  type FoundLibrary,
  findLibnrt,
  findLibtorchneuron,
  torchNeuronxVersionBeside,
} from "../../torch/neuron/find-libraries.js";
import type { Host } from "./host.js";

/** What there is of AWS Neuron on a host, by its files. */
export interface NeuronFacts {
  /** Such as "inf2.xlarge"; undefined where the host does not say that it is one of those with Neuron. */
  readonly instanceType: string | undefined;
  /** Paths such as "/dev/neuron0". */
  readonly devices: readonly string[];
  /** Of the kernel driver, where it is loaded. */
  readonly driverVersion: string | undefined;
  /** Cores in all, as the driver tells; undefined where it does not. */
  readonly driverCores: number | undefined;
  /** Of the first device, as the driver tells, such as "Inferentia2". */
  readonly deviceName: string | undefined;
  readonly libnrt: FoundLibrary;
  readonly libtorchneuron: FoundLibrary;
  /** Of the torch_neuronx that libtorchneuron.so is in, such as "2.9.0.2.15.32035". */
  readonly torchNeuronx: string | undefined;
  /** The directory of the tools, and those that are in it. */
  readonly toolsDirectory: string;
  readonly tools: readonly string[];
  /** Whether the host has Neuron devices, by any sign. */
  readonly hardware: boolean;
  /** Whether there is anything of Neuron at all. */
  readonly present: boolean;
}

export const TOOLS = ["neuron-ls", "neuron-monitor"] as const;

export async function readNeuronFacts(host: Host): Promise<NeuronFacts> {
  const names = (await host.list(host.at("/dev"))).filter((name) => /^neuron\d+$/.test(name));
  const devices = names.map((name) => host.at(`/dev/${name}`));
  const driverVersion = (await host.read(host.at("/sys/module/neuron/version")))?.trim();
  const product = (await host.read(host.at("/sys/devices/virtual/dmi/id/product_name")))?.trim() ?? "";
  const instanceType = /^(inf2|trn\d)/.test(product) ? product : undefined;
  const libnrt = findLibnrt({ hostRoot: host.root, env: host.env });
  const libtorchneuron = findLibtorchneuron({ hostRoot: host.root, env: host.env });
  const toolsDirectory = host.at("/opt/aws/neuron/bin");
  const there = await host.list(toolsDirectory);
  const tools = TOOLS.filter((name) => there.includes(name));
  const hardware = devices.length > 0 || driverVersion !== undefined || instanceType !== undefined;
  return {
    instanceType,
    devices,
    driverVersion,
    driverCores: await countCores(host),
    deviceName: await readIfAllowed(host, join(host.at(DEVICES), "neuron0", "info", "architecture", "device_name")),
    libnrt,
    libtorchneuron,
    torchNeuronx: libtorchneuron.path === undefined ? undefined : torchNeuronxVersionBeside(libtorchneuron.path),
    toolsDirectory,
    tools,
    hardware,
    present:
      hardware ||
      tools.length > 0 ||
      libnrt.path !== undefined ||
      libtorchneuron.path !== undefined ||
      // Someone says that it is there.
      Boolean(host.env.NEURON_BLIP_LIBNRT || host.env.NEURON_BLIP_LIBTORCHNEURON),
  };
}

const DEVICES = "/sys/devices/virtual/neuron_device";

/** By each device's core_count, which root alone may read, else by its directories of cores. */
async function countCores(host: Host): Promise<number | undefined> {
  const directory = host.at(DEVICES);
  const names = (await host.list(directory)).filter((name) => /^neuron\d+$/.test(name));
  const counts = await Promise.all(
    names.map(async (name) => {
      const told = Number.parseInt((await readIfAllowed(host, join(directory, name, "core_count"))) ?? "", 10);
      if (told >= 0) return told;
      return (await host.list(join(directory, name))).filter((entry) => /^neuron_core\d+$/.test(entry)).length;
    }),
  );
  return counts.length > 0 && counts.every((count) => count > 0) ? counts.reduce((sum, n) => sum + n) : undefined;
}

/** A file's text; undefined where there is none, and where this user may not read it. */
async function readIfAllowed(host: Host, path: string): Promise<string | undefined> {
  return host.read(path).then(
    (text) => text?.trim(),
    () => undefined,
  );
}
