import { findLibnrt, findLibtorchneuron, torchNeuronxVersionBeside } from "../../torch/neuron/find-libraries.js";
import type { Host } from "../report/host.js";

export const TOOLS = ["neuron-ls", "neuron-monitor"] as const;

const DEVICES = "/sys/devices/virtual/neuron_device";
const isDevice = (name: string) => /^neuron\d+$/.test(name);

/** Reads what there is of AWS Neuron on a host, by its files. What is undefined the host does not tell. */
export async function readNeuronFacts(host: Host) {
  const { env, root: hostRoot } = host;
  /** Paths such as "/dev/neuron0". */
  const devices = (await host.list(host.at("/dev"))).filter(isDevice).map((name) => host.at(`/dev/${name}`));
  const driverVersion = await host.neuronDriver();
  const product = (await host.read(host.at("/sys/devices/virtual/dmi/id/product_name")))?.trim() ?? "";
  /** Such as "inf2.xlarge", of those with Neuron. */
  const instanceType = /^(inf2|trn\d)/.test(product) ? product : undefined;
  const libnrt = findLibnrt({ hostRoot, env });
  const libtorchneuron = findLibtorchneuron({ hostRoot, env });
  const toolsDirectory = host.at("/opt/aws/neuron/bin");
  const there = await host.list(toolsDirectory);
  const tools: readonly string[] = TOOLS.filter((name) => there.includes(name));
  /** Whether the host has Neuron devices, by any sign. */
  const hardware = devices.length > 0 || driverVersion !== undefined || instanceType !== undefined;
  const libraries = libnrt.path !== undefined || libtorchneuron.path !== undefined;
  const named = Boolean(env.NEURON_BLIP_LIBNRT || env.NEURON_BLIP_LIBTORCHNEURON); // someone says that it is there
  return {
    instanceType,
    devices,
    driverVersion,
    /** In all, as the driver tells. */
    driverCores: await countCores(host),
    /** Of the first device, as the driver tells, such as "Inferentia2". */
    deviceName: await host.readIfAllowed(host.at(`${DEVICES}/neuron0/info/architecture/device_name`)),
    libnrt,
    libtorchneuron,
    /** Of the torch_neuronx that libtorchneuron.so is in, such as "2.9.0.2.15.32035". */
    torchNeuronx: libtorchneuron.path === undefined ? undefined : torchNeuronxVersionBeside(libtorchneuron.path),
    toolsDirectory,
    tools,
    hardware,
    /** Whether there is anything of Neuron at all. */
    present: hardware || tools.length > 0 || libraries || named,
  };
}

/** Counts the cores by each device's core_count, which root alone may read, else by its directories of cores. */
async function countCores(host: Host): Promise<number | undefined> {
  const devices = (await host.list(host.at(DEVICES))).filter(isDevice).map((name) => host.at(`${DEVICES}/${name}`));
  let sum = 0;
  for (const device of devices) {
    const told = Number.parseInt((await host.readIfAllowed(`${device}/core_count`)) ?? "", 10);
    const count = told >= 0 ? told : (await host.list(device)).filter((name) => /^neuron_core\d+$/.test(name)).length;
    if (count === 0) return undefined;
    sum += count;
  }
  return sum || undefined;
}
