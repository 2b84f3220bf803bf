import { aptInstall } from "../../../torch/neuron/sdk-versions.js";
import type { Probe } from "../examination.js";
import { ok, skipped } from "../finding.js";

const ID = "neuron.driver";

/** AWS Neuron's kernel driver and its devices. */
export const neuronDriver: Probe = {
  id: ID,
  async run(examination) {
    const { host } = examination;
    const facts = await examination.neuron();
    const { present, devices, driverVersion, driverCores, deviceName, instanceType } = facts;
    if (!present)
      return skipped(ID, "There is nothing of AWS Neuron here; models compiled for the CPU need none of it.");
    const details = { devices, version: driverVersion ?? null, cores: driverCores ?? null, deviceName, instanceType };
    if (devices.length === 0 && driverVersion === undefined) {
      return examination.neuronFault(
        ID,
        `${instanceType ? `This is an ${instanceType}, and` : "AWS Neuron is installed, but"} its kernel driver is not loaded: ` +
          "no /dev/neuron0 and no /sys/module/neuron.",
        `On an Inf2 host: \`${aptInstall("aws-neuronx-dkms")}\`, then \`sudo modprobe neuron\`. Any other host has no ` +
          "NeuronCores: compile with --target cpu.",
        details,
      );
    }
    if (devices.length === 0) {
      return examination.neuronFault(
        ID,
        `The kernel driver ${driverVersion} is loaded, and there is no /dev/neuron0.`,
        (await isContainer(examination.host))
          ? "Give the container the device: `docker run --device=/dev/neuron0 …`, or in Kubernetes the resource aws.amazon.com/neuron."
          : "`sudo dmesg | grep -i neuron` tells why; is this an Inf2 host?",
        details,
      );
    }
    const closed: string[] = [];
    for (const device of devices) if (!(await host.isWritable(device))) closed.push(device);
    if (closed.length > 0) {
      return examination.neuronFault(
        ID,
        `This user may not read and write ${closed.join(", ")}.`,
        "Run as a user who may, or give the device's file read and write permission for this user.",
        details,
      );
    }
    const version = driverVersion === undefined ? "of unknown version" : driverVersion;
    const cores = driverCores === undefined ? "" : `, ${driverCores} NeuronCores`;
    return ok(
      ID,
      `Kernel driver ${version}, ${devices.length} ${devices.length === 1 ? "device" : "devices"}${cores}.`,
      details,
    );
  },
};

async function isContainer(host: Parameters<Probe["run"]>[0]["host"]): Promise<boolean> {
  const marks = [host.at("/.dockerenv"), host.at("/run/.containerenv")];
  for (const mark of marks) if (await host.exists(mark)) return true;
  return host.env.KUBERNETES_SERVICE_HOST !== undefined;
}
