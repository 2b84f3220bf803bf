import { minorOf } from "../../../torch/binary/torch-directory.js";
import { isObject } from "../../../util/json-file.js";
import type { Probe } from "../examination.js";
import { ok, problem, skipped, warning } from "../finding.js";
import { compareVersions } from "../versions.js";
import { visibleSetting } from "./core-settings.js";

/** What the model was compiled for, and whether this host has it. */
export const modelTarget: Probe = {
  id: "model.target",
  ofModel: true,
  async run(examination) {
    const id = "model.target";
    const model = await examination.model();
    if (model === undefined || model.parts.length === 0) return skipped(id, "Not looked at: there are no parts.");
    const { target = null } = model.json;
    const { value: neuronParts, failure } = model.neuronParts;
    const details = { target: typeof target === "string" ? target : null, neuronParts: neuronParts ?? null };
    if (failure !== undefined) {
      return problem(
        id,
        `The parts cannot be read as TorchScript: ${failure}`,
        "Copy the directory again, or compile the model again.",
        details,
      );
    }
    if (target === "cpu" && neuronParts !== undefined && neuronParts.length > 0) {
      return problem(
        id,
        `neuron_blip.json says that the model is for the CPU, and ${neuronParts.join(", ")} needs Neuron.`,
        "Files of two directories were mixed: copy the directory again, or compile the model again.",
        details,
      );
    }
    if (!model.needsNeuron) {
      if (target === null && neuronParts === undefined)
        return skipped(id, "Not known: the addon, which would tell, does not load.", details);
      return ok(id, "Compiled for the CPU.", details);
    }
    const neuron = await examination.neuron();
    if (!neuron.present) {
      return problem(
        id,
        "Compiled for AWS Neuron (inf2), and this host has nothing of it: no device, driver, runtime or libtorchneuron.so.",
        "Run it on an Inf2 host with AWS's Neuron image, or compile for this one: `npx neuron-blip compile MODEL DIR --target cpu`.",
        details,
      );
    }
    const cores = visibleSetting(examination)?.length ?? (await examination.totalCores());
    const replicas = examination.options.replicas ?? 1;
    if (cores !== undefined && cores > 0 && replicas > cores) {
      return warning(
        id,
        `Compiled for AWS Neuron (inf2); ${replicas} replicas share ${cores} ${cores === 1 ? "NeuronCore" : "NeuronCores"}.`,
        `Load ${cores} or fewer: more take memory and are not faster.`,
        { ...details, replicas, cores },
      );
    }
    return ok(id, "Compiled for AWS Neuron (inf2).", details);
  },
};

/** The torch that traced the parts against the libtorch that runs them. */
export const modelVersions: Probe = {
  id: "model.versions",
  ofModel: true,
  async run(examination) {
    const id = "model.versions";
    const model = await examination.model();
    const versions = isObject(model?.json.versions) ? model.json.versions : {};
    const text = (name: string) => (typeof versions[name] === "string" ? (versions[name] as string) : undefined);
    const traced = text("torch");
    if (model === undefined || traced === undefined) return skipped(id, "The directory does not say what compiled it.");
    const { answer } = await examination.addon();
    const runs = answer?.ok ? answer.value.libtorchVersion : undefined;
    const details = {
      torch: traced,
      libtorch: runs,
      transformers: text("transformers"),
      torchNeuronx: text("torch_neuronx"),
      neuronxCc: text("neuronx_cc"),
    };
    const compiled = `Compiled with torch ${traced}`;
    if (runs === undefined) return skipped(id, `${compiled}; the addon does not load.`, details);
    if (minorOf(traced) === minorOf(runs)) return ok(id, `${compiled}, run by libtorch ${runs}.`, details);
    if (model.needsNeuron) {
      return problem(
        id,
        `${compiled}, run by libtorch ${runs}; for NeuronCores the first two numbers must be the same.`,
        `Build the addon with torch ${minorOf(traced)} (NEURON_BLIP_LIBTORCH=…/site-packages/torch npx neuron-blip build), or compile the model again with torch ${minorOf(runs)}.`,
        details,
      );
    }
    if (compareVersions(traced, runs) < 0) return ok(id, `${compiled}, run by the newer libtorch ${runs}.`, details);
    return warning(
      id,
      `${compiled}, run by the older libtorch ${runs}, which may not know all of what it holds.`,
      `If it does not load, build the addon with libtorch ${minorOf(traced)} or newer (NEURON_BLIP_LIBTORCH=… npx neuron-blip build).`,
      details,
    );
  },
};
