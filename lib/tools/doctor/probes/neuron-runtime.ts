import { aptInstall, sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import type { Probe } from "../examination.js";
import { ok, skipped } from "../finding.js";
import { compareVersions } from "../versions.js";

const ID = "neuron.runtime";
const INSTALL = `\`${aptInstall("aws-neuronx-runtime-lib")}\``;
const UPDATE_BOTH = `Update both to the same SDK: \`${aptInstall("aws-neuronx-dkms", "aws-neuronx-runtime-lib")}\`, then \`sudo modprobe -r neuron && sudo modprobe neuron\`.`;
const REINSTALL = INSTALL.replace("install", "install --reinstall");

/** libnrt.so.1, which talks to the driver. */
export const neuronRuntime: Probe = {
  id: ID,
  async run(examination) {
    const { present, libnrt, driverCores, driverVersion } = await examination.neuron();
    if (!present) return skipped(ID, "There is nothing of AWS Neuron here.");
    if (libnrt.path === undefined) {
      return examination.neuronFault(
        ID,
        `The Neuron runtime is not there (looked for ${libnrt.places.join(", ")}).`,
        `On an Inf2 host: ${INSTALL}, or set NEURON_BLIP_LIBNRT to the file.`,
        { places: libnrt.places },
      );
    }
    const { path } = libnrt;
    const answer = await examination.runtime();
    if (answer === undefined) return skipped(ID, `${path} was not looked into: the addon does not load.`, { path });
    if (!answer.ok) {
      return examination.neuronFault(
        ID,
        `The Neuron runtime does not load: ${answer.reason}`,
        `Install it again: ${REINSTALL}.`,
        { path, how: answer.how },
      );
    }
    const { version, totalCores, visibleCores } = answer.value;
    const known = (count: number) => (count < 0 ? null : count);
    const details = {
      path,
      version: version || null,
      totalCores: known(totalCores),
      visibleCores: known(visibleCores),
    };
    if (version === "" && totalCores < 0) {
      return examination.neuronFault(
        ID,
        `${path} tells neither a version nor a number of cores: it is no Neuron runtime, or a damaged one.`,
        `Install it again: ${REINSTALL}.`,
        details,
      );
    }
    const standIn = examination.host.env.NEURON_BLIP_STAND_IN ? ", a stand-in that says nothing of hardware," : "";
    const name = `Neuron runtime ${version || "of unknown version"}${standIn}`;
    if (driverCores !== undefined && totalCores >= 0 && totalCores !== driverCores) {
      return examination.neuronFault(
        ID,
        `The ${name} sees ${totalCores} NeuronCores, and the driver ${driverCores}.`,
        UPDATE_BOTH,
        details,
      );
    }
    const { driver, runtime } = sdkVersions().driver_needs_runtime;
    if (
      driverVersion !== undefined &&
      version !== "" &&
      compareVersions(driverVersion, driver) >= 0 &&
      compareVersions(version, runtime) < 0
    ) {
      return examination.neuronFault(
        ID,
        `The ${name} is too old for the kernel driver ${driverVersion}: from ${driver} on it needs a runtime of ${runtime} or newer.`,
        UPDATE_BOTH,
        { ...details, driver: driverVersion },
      );
    }
    const cores =
      visibleCores < 0 ? "" : `, ${visibleCores} of ${totalCores < 0 ? "its" : totalCores} NeuronCores visible`;
    return ok(ID, `${name} (${path})${cores}.`, details);
  },
};
