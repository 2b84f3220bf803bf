/** Probes of AWS Neuron's driver, runtime and tools. */
import { aptInstall, sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import type { Host } from "../../report/host.js";
import { compareVersions, counted } from "../../report/words.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";
import { TOOLS } from "../neuron-facts.js";

const NOTHING = "There is nothing of AWS Neuron here";

/** Checks AWS Neuron's kernel driver and its devices. */
export async function neuronDriver(examination: Examination): Promise<Finding> {
  const { host } = examination;
  const { present, devices, driverVersion, driverCores, deviceName, instanceType } = await examination.neuron();
  if (!present) return about("neuron.driver").skipped(`${NOTHING}; models compiled for the CPU need none of it.`);
  const details = { devices, version: driverVersion ?? null, cores: driverCores ?? null, deviceName, instanceType };
  const driver = about("neuron.driver", details);
  if (devices.length === 0 && driverVersion === undefined) {
    return examination.fault(
      driver,
      `${instanceType ? `This is an ${instanceType}, and` : "AWS Neuron is installed, but"} its kernel driver is not loaded: ` +
        "no /dev/neuron0 and no /sys/module/neuron.",
      `On an Inf2 host: \`${aptInstall("aws-neuronx-dkms")}\`, then \`sudo modprobe neuron\`. Any other host has no ` +
        "NeuronCores: compile with --target cpu.",
    );
  }
  if (devices.length === 0) {
    const what = `The kernel driver ${driverVersion} is loaded, and there is no /dev/neuron0.`;
    const cure = (await isContainer(host))
      ? "Give the container the device: `docker run --device=/dev/neuron0 …`, or in Kubernetes the resource aws.amazon.com/neuron."
      : "`sudo dmesg | grep -i neuron` tells why; is this an Inf2 host?";
    return examination.fault(driver, what, cure);
  }
  const closed: string[] = [];
  for (const device of devices) if (!(await host.isWritable(device))) closed.push(device);
  if (closed.length > 0) {
    const what = `This user may not read and write ${closed.join(", ")}.`;
    const cure = "Run as a user who may, or give the device's file read and write permission for this user.";
    return examination.fault(driver, what, cure);
  }
  const cores = driverCores === undefined ? "" : `, ${driverCores} NeuronCores`;
  return driver.ok(
    `Kernel driver ${driverVersion ?? "of unknown version"}, ${counted(devices.length, "device")}${cores}.`,
  );
}

async function isContainer(host: Host): Promise<boolean> {
  for (const mark of ["/.dockerenv", "/run/.containerenv"]) if (await host.exists(host.at(mark))) return true;
  return host.env.KUBERNETES_SERVICE_HOST !== undefined;
}

/** Checks libnrt.so.1, which talks to the driver. */
export async function neuronRuntime(examination: Examination): Promise<Finding> {
  const { present, libnrt, driverCores, driverVersion } = await examination.neuron();
  if (!present) return about("neuron.runtime").skipped(`${NOTHING}.`);
  const { path, places } = libnrt;
  const install = `\`${aptInstall("aws-neuronx-runtime-lib")}\``;
  const again = `Install it again: ${install.replace("install", "install --reinstall")}.`;
  if (path === undefined) {
    const what = `The Neuron runtime is not there (looked for ${places.join(", ")}).`;
    const cure = `On an Inf2 host: ${install}, or set NEURON_BLIP_LIBNRT to the file.`;
    return examination.fault(about("neuron.runtime", { places }), what, cure);
  }
  const answer = await examination.runtime();
  if (answer === undefined) {
    return about("neuron.runtime", { path }).skipped(`${path} was not looked into: the addon does not load.`);
  }
  if (!answer.ok) {
    const what = `The Neuron runtime does not load: ${answer.reason}`;
    return examination.fault(about("neuron.runtime", { path, how: answer.how }), what, again);
  }
  const { version, totalCores, visibleCores } = answer.value;
  const known = (count: number) => (count < 0 ? null : count);
  const cores = { totalCores: known(totalCores), visibleCores: known(visibleCores) };
  const details = { path, version: version || null, ...cores };
  const runtime = about("neuron.runtime", details);
  if (version === "" && totalCores < 0) {
    const what = `${path} tells neither a version nor a number of cores: it is no Neuron runtime, or a damaged one.`;
    return examination.fault(runtime, what, again);
  }
  const standIn = examination.host.env.NEURON_BLIP_STAND_IN ? ", a stand-in that says nothing of hardware," : "";
  const name = `Neuron runtime ${version || "of unknown version"}${standIn}`;
  const updateBoth =
    `Update both to the same SDK: \`${aptInstall("aws-neuronx-dkms", "aws-neuronx-runtime-lib")}\`, then ` +
    "`sudo modprobe -r neuron && sudo modprobe neuron`.";
  if (driverCores !== undefined && totalCores >= 0 && totalCores !== driverCores) {
    const what = `The ${name} sees ${totalCores} NeuronCores, and the driver ${driverCores}.`;
    return examination.fault(runtime, what, updateBoth);
  }
  const needs = sdkVersions().driver_needs_runtime;
  const isNewDriver = driverVersion !== undefined && compareVersions(driverVersion, needs.driver) >= 0;
  if (isNewDriver && version !== "" && compareVersions(version, needs.runtime) < 0) {
    return examination.fault(
      about("neuron.runtime", { ...details, driver: driverVersion }),
      `The ${name} is too old for the kernel driver ${driverVersion}: from ${needs.driver} on it needs a runtime of ${needs.runtime} or newer.`,
      updateBoth,
    );
  }
  const total = totalCores < 0 ? "its" : totalCores;
  return runtime.ok(`${name} (${path})${visibleCores < 0 ? "" : `, ${visibleCores} of ${total} NeuronCores visible`}.`);
}

/** Looks for neuron-ls and neuron-monitor: nothing runs worse without them, but nobody sees what holds the cores. */
export async function neuronTools(examination: Examination): Promise<Finding> {
  const { hardware, tools, toolsDirectory: directory } = await examination.neuron();
  const missing = TOOLS.filter((name) => !tools.includes(name));
  const { ok, skipped, warning } = about("neuron.tools", { directory, tools, missing });
  if (missing.length === 0) return ok(`${TOOLS.join(" and ")} are in ${directory}.`);
  if (!hardware) return skipped("There are no Neuron devices here.");
  return warning(
    `There is no ${missing.join(" and no ")} in ${directory}, so that it cannot be told which process holds which core.`,
    `\`${aptInstall("aws-neuronx-tools")}\``,
  );
}
