/** Probes of a model directory against this host: what it was compiled for, and with what. */
import { minorOf } from "../../../torch/binary/torch-directory.js";
import { sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import { compareVersions, counted } from "../../report/words.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";
import { visibleSetting } from "./neuron-cores.js";

/** Checks what the model was compiled for, and whether this host has it. */
export async function modelTarget(examination: Examination): Promise<Finding> {
  const model = await examination.model();
  if (!model || model.parts.length === 0) return about("model.target").skipped("Not looked at: there are no parts.");
  const target = model.manifest.value?.target ?? null;
  const { value: neuronParts, failure } = model.neuronParts;
  const details = { target, neuronParts: neuronParts ?? null };
  const { ok, skipped, problem } = about("model.target", details);
  if (model.isCheckpoint) return ok("A checkpoint, which runs on the CPU.");
  if (failure !== undefined) {
    const cure = "Copy the directory again, or compile the model again.";
    return problem(`The parts cannot be read as TorchScript: ${failure}`, cure);
  }
  if (target === "cpu" && neuronParts !== undefined && neuronParts.length > 0) {
    return problem(
      `neuron_blip.json says that the model is for the CPU, and ${neuronParts.join(", ")} needs Neuron.`,
      "Files of two directories were mixed: copy the directory again, or compile the model again.",
    );
  }
  if (!model.needsNeuron) {
    const isKnown = target !== null || neuronParts !== undefined;
    return isKnown ? ok("Compiled for the CPU.") : skipped("Not known: the addon, which would tell, does not load.");
  }
  const neuron = await examination.neuron();
  if (!neuron.present) {
    return problem(
      "Compiled for AWS Neuron (inf2), and this host has nothing of it: no device, driver, runtime or libtorchneuron.so.",
      "Run it on an Inf2 host with AWS's Neuron image, or compile for this one: `npx neuron-blip compile MODEL DIR --target cpu`.",
    );
  }
  const cores = visibleSetting(examination)?.length ?? (await examination.totalCores());
  const replicas = examination.options.replicas ?? 1;
  if (!cores || replicas <= cores) return ok("Compiled for AWS Neuron (inf2).");
  return about("model.target", { ...details, replicas, cores }).warning(
    `Compiled for AWS Neuron (inf2); ${replicas} replicas share ${counted(cores, "NeuronCore")}.`,
    `Load ${cores} or fewer: more take memory and are not faster.`,
  );
}

/** Compares the torch that traced the parts with the libtorch that runs them. */
export async function modelVersions(examination: Examination): Promise<Finding> {
  const model = await examination.model();
  const { torch, transformers, torch_neuronx: torchNeuronx, neuronx_cc: neuronxCc } = versionsOf(model?.manifest.value);
  if (!model || torch === undefined) {
    const isRead = model?.manifest.failure === undefined;
    const what = isRead
      ? "The directory does not say what compiled it."
      : "Not known: neuron_blip.json cannot be used.";
    return about("model.versions").skipped(what);
  }
  const libtorch = (await examination.addon()).loaded?.libtorchVersion;
  const details = { torch, libtorch, transformers, torchNeuronx, neuronxCc };
  const { ok, skipped, warning, problem } = about("model.versions", details);
  const compiled = `Compiled with torch ${torch}`;
  if (libtorch === undefined) return skipped(`${compiled}; the addon does not load.`);
  if (minorOf(torch) === minorOf(libtorch)) return ok(`${compiled}, run by libtorch ${libtorch}.`);
  if (model.needsNeuron) {
    return problem(
      `${compiled}, run by libtorch ${libtorch}; for NeuronCores the first two numbers must be the same.`,
      `Build the addon with torch ${minorOf(torch)} (NEURON_BLIP_LIBTORCH=…/site-packages/torch npx neuron-blip build), or compile the model again with torch ${minorOf(libtorch)}.`,
    );
  }
  if (compareVersions(torch, libtorch) < 0) return ok(`${compiled}, run by the newer libtorch ${libtorch}.`);
  return warning(
    `${compiled}, run by the older libtorch ${libtorch}, which may not know all of what it holds.`,
    `If it does not load, build the addon with libtorch ${minorOf(torch)} or newer (NEURON_BLIP_LIBTORCH=… npx neuron-blip build).`,
  );
}

/** Compares what the parts for Neuron were compiled with, as the manifest says, with what this host has. */
export async function modelNeuron(examination: Examination): Promise<Finding | Finding[]> {
  const model = await examination.model();
  const versions = versionsOf(model?.manifest.value);
  const { neuron_sdk: sdk, neuronx_cc: compiler, torch_neuronx: compiledTorchNeuronx } = versions;
  // Where it says nothing, model.versions tells.
  if (!model?.needsNeuron || compiledTorchNeuronx === undefined) return [];
  const { present, torchNeuronx, deviceName } = await examination.neuron();
  if (!present) return about("model.neuron").skipped("There is nothing of AWS Neuron here.");
  const answer = await examination.runtime();
  const runtime = (answer?.ok && answer.value.version) || undefined;
  // Of the compiling host, or else of its SDK.
  const { sdk: ownSdk, apt } = sdkVersions();
  const ofSdk = sdk === ownSdk ? apt["aws-neuronx-runtime-lib"].replace("*", "") : undefined;
  const compiledRuntime = versions.neuron_runtime ?? ofSdk;
  const details = { sdk, compiler, compiledTorchNeuronx, compiledRuntime, torchNeuronx, runtime, deviceName };
  const { ok, warning } = about("model.neuron", details);
  const compiled = `Compiled with torch-neuronx ${compiledTorchNeuronx}${sdk ? ` (SDK ${sdk})` : ""}`;
  const misfits: string[] = [];
  if (torchNeuronx !== undefined && publicPart(torchNeuronx) !== publicPart(compiledTorchNeuronx)) {
    misfits.push(`and this host has torch-neuronx ${torchNeuronx}.`);
  }
  if (runtime !== undefined && compiledRuntime !== undefined && compareVersions(runtime, compiledRuntime) < 0) {
    misfits.push(
      `for the Neuron runtime ${compiledRuntime}, and this host has the older ${runtime}, which may refuse it (NRT status 10).`,
    );
  }
  if (model.manifest.value?.target === "inf2" && deviceName !== undefined && deviceName !== "Inferentia2") {
    misfits.push(`for Inferentia2, and this host has ${deviceName}, which may refuse it (NRT status 2).`);
  }
  if (misfits.length === 0) return ok(`${compiled}, which fits this host.`);
  const cure = `Compile the model again with this host's SDK, or install ${sdk ? `SDK ${sdk}` : "the SDK that compiled it"} here.`;
  return misfits.map((misfit) => warning(`${compiled}, ${misfit}`, cure));
}

/** Returns the versions that a manifest names. */
function versionsOf(manifest: { readonly versions?: Readonly<Record<string, string | null>> } | undefined) {
  const named = Object.entries(manifest?.versions ?? {}).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return Object.fromEntries(named);
}

/** Returns a version without its build's name: "2.9.0" of "2.9.0+cpu". */
function publicPart(version: string): string {
  return version.split("+")[0] ?? version;
}
