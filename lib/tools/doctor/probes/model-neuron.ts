import { sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import { isObject } from "../../../util/json-file.js";
import type { Probe } from "../examination.js";
import { type Finding, ok, skipped, warning } from "../finding.js";
import { compareVersions } from "../versions.js";

const ID = "model.neuron";

/** What the parts for Neuron were compiled with, as the manifest says, against what this host has. */
export const modelNeuron: Probe = {
  id: ID,
  ofModel: true,
  async run(examination) {
    const model = await examination.model();
    if (model === undefined || !model.needsNeuron) return [];
    const compiled = compiledWith(isObject(model.json.versions) ? model.json.versions : {});
    if (compiled.torchNeuronx === undefined) return []; // model.versions tells what it says
    const { present, torchNeuronx, deviceName } = await examination.neuron();
    if (!present) return skipped(ID, "There is nothing of AWS Neuron here.");
    const answer = await examination.runtime();
    const runtime = answer?.ok && answer.value.version !== "" ? answer.value.version : undefined;
    const details = {
      sdk: compiled.sdk,
      compiler: compiled.compiler,
      compiledTorchNeuronx: compiled.torchNeuronx,
      compiledRuntime: compiled.runtime,
      torchNeuronx,
      runtime,
      deviceName,
    };
    const what = `Compiled with torch-neuronx ${compiled.torchNeuronx}${compiled.sdk ? ` (SDK ${compiled.sdk})` : ""}`;
    const findings: Finding[] = [];
    const differ = (text: string) => findings.push(warning(ID, `${what}, ${text}`, cureOf(compiled), details));
    if (torchNeuronx !== undefined && publicPart(torchNeuronx) !== publicPart(compiled.torchNeuronx)) {
      differ(`and this host has torch-neuronx ${torchNeuronx}.`);
    }
    if (runtime !== undefined && compiled.runtime !== undefined && compareVersions(runtime, compiled.runtime) < 0) {
      differ(
        `for the Neuron runtime ${compiled.runtime}, and this host has the older ${runtime}, which may refuse it (NRT status 10).`,
      );
    }
    if (model.json.target === "inf2" && deviceName !== undefined && deviceName !== "Inferentia2") {
      differ(`for Inferentia2, and this host has ${deviceName}, which may refuse it (NRT status 2).`);
    }
    return findings.length > 0 ? findings : ok(ID, `${what}, which fits this host.`, details);
  },
};

interface CompiledWith {
  readonly sdk: string | undefined;
  readonly compiler: string | undefined;
  readonly torchNeuronx: string | undefined;
  /** The runtime of the compiling host, or else of its SDK. */
  readonly runtime: string | undefined;
}

function compiledWith(versions: Readonly<Record<string, unknown>>): CompiledWith {
  const text = (name: string) => (typeof versions[name] === "string" ? (versions[name] as string) : undefined);
  const sdk = text("neuron_sdk");
  const ofSdk = sdk === sdkVersions().sdk ? sdkVersions().apt["aws-neuronx-runtime-lib"].replace("*", "") : undefined;
  return {
    sdk,
    compiler: text("neuronx_cc"),
    torchNeuronx: text("torch_neuronx"),
    runtime: text("neuron_runtime") ?? ofSdk,
  };
}

function cureOf({ sdk }: CompiledWith): string {
  return `Compile the model again with this host's SDK, or install ${sdk ? `SDK ${sdk}` : "the SDK that compiled it"} here.`;
}

/** Without a build's name: "2.9.0" of "2.9.0+cpu". */
function publicPart(version: string): string {
  return version.split("+")[0] as string;
}
