/** Probes of libtorchneuron.so, with which libtorch runs on NeuronCores. */
import { dirname, join } from "node:path";
import { messageOf } from "../../../errors.js";
import { readBinary, readNames } from "../../../torch/binary/elf.js";
import { minorOf } from "../../../torch/binary/torch-directory.js";
import { torchVersionBeside } from "../../../torch/neuron/find-libraries.js";
import { aptInstall, sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import type { DoctorId } from "../../report/findings.js";
import { compareVersions } from "../../report/words.js";
import type { Examination } from "../examination.js";
import { about, type Details, type Finding } from "../finding.js";
import { askNative } from "../native-answer.js";

/** Checks whether libtorchneuron.so fits this host and the libtorch that the addon was built with. */
export async function libtorchneuron(examination: Examination): Promise<Finding | Finding[]> {
  const { present, libtorchneuron: found } = await examination.neuron();
  const { path, places } = found;
  if (!present) return about("neuron.libtorchneuron").skipped("There is nothing of AWS Neuron here.");
  if (path === undefined) {
    const looked = places.length > 0 ? places.join(", ") : "the active Python, /opt/aws_neuronx_venv_pytorch*";
    return examination.fault(
      about("neuron.libtorchneuron", { places }),
      `libtorchneuron.so, with which libtorch runs on NeuronCores, is not there (looked in ${looked}).`,
      "Activate a Python environment that has torch-neuronx (AWS's images have some in /opt), or set " +
        "NEURON_BLIP_LIBTORCHNEURON to the file.",
    );
  }
  const unfit = await misfits(examination, path);
  const further = unfit.length > 0 ? unfit : [await testLoad(examination, path)];
  return [about("neuron.libtorchneuron", { path }).ok(path), ...further];
}

/** The first torch of which torch-neuronx is TorchNeuron. */
const TORCH_NEURON_FROM = "2.13";

/** Finds what does not fit, as far as that can be told without loading it. */
async function misfits(examination: Examination, path: string): Promise<Finding[]> {
  const { host } = examination;
  const findings: Finding[] = [];
  const fault = async (id: DoctorId, details: Details, what: string, cure: string) => {
    findings.push(await examination.fault(about(id, details), what, cure));
    return findings;
  };
  let arch: string | undefined;
  let names: string[];
  try {
    names = readNames(path);
    arch = readBinary(path).platform?.replace("linux-", "");
  } catch (error) {
    const what = `${path} cannot be read: ${messageOf(error)}.`;
    return fault("neuron.libtorchneuron.file", { path }, what, "Install torch-neuronx again.");
  }
  if (arch !== host.arch) {
    const what = `It is for ${arch}, and this host is ${host.arch}.`;
    const cure = "Install torch-neuronx for this host's processor.";
    await fault("neuron.libtorchneuron.arch", { library: arch, host: host.arch }, what, cure);
  }
  const { torchNeuronx: version } = await examination.neuron();
  const { pip, sdk, newer_torch: newer, environment } = sdkVersions();
  if (version !== undefined && compareVersions(version, TORCH_NEURON_FROM) >= 0) {
    return fault(
      "neuron.libtorchneuron.product",
      { version },
      `It is of torch-neuronx ${version}: ${newer}.`,
      `Use an environment with torch-neuronx ${pip["torch-neuronx"]} (Neuron SDK ${sdk}), such as ${environment} of AWS's images.`,
    );
  }
  const needed = neededGlibc(names, version);
  if (needed !== undefined && host.glibc !== undefined && compareVersions(needed, host.glibc) > 0) {
    await fault(
      "neuron.libtorchneuron.glibc",
      { needed, host: host.glibc },
      `It needs glibc ${needed}, and this host has ${host.glibc}.`,
      `Use a system with glibc ${needed} or newer (Ubuntu 22.04 and Debian 12 have 2.35 and 2.36, Amazon Linux 2023 has 2.34), or an older torch-neuronx.`,
    );
  }
  const { loaded } = await examination.addon();
  if (!loaded) return findings;
  const { libtorchVersion: ours, cxx11Abi: ourAbi } = loaded;
  const theirs = torchVersionBeside(path);
  const torch = theirs === undefined ? "…/site-packages/torch" : join(dirname(dirname(dirname(path))), "torch");
  const rebuild = `Build the addon with the torch of the same environment: NEURON_BLIP_LIBTORCH=${torch} npx neuron-blip build`;
  if (theirs !== undefined && minorOf(theirs) !== minorOf(ours)) {
    const what = `It was made for torch ${theirs}, and the addon was built with libtorch ${ours}; the first two numbers must be the same.`;
    await fault("neuron.libtorchneuron.torch", { library: theirs, addon: ours }, what, rebuild);
  }
  const abi = abiOf(names);
  if (abi !== undefined && abi !== ourAbi) {
    const what = `It was made with C++ ABI ${abi}, and the addon's libtorch with ${ourAbi}.`;
    await fault("neuron.libtorchneuron.abi", { library: abi, addon: ourAbi }, what, rebuild);
  }
  return findings;
}

/**
 * Finds the value of _GLIBCXX_USE_CXX11_ABI that a library's use of torch shows, if any: std::string has another name in each
 * ABI, and only where torch's own functions take one does it matter.
 */
function abiOf(names: readonly string[]): 0 | 1 | undefined {
  const torch = names.filter((name) => /^_ZN\w*(3c10|5torch|2at)/.test(name));
  if (torch.some((name) => name.includes("NSt7__cxx1112basic_string"))) return 1;
  return torch.some((name) => /(RK|E|P|v)Ss/.test(name)) ? 0 : undefined;
}

/** Finds the newest version that the file asks for or its version is known to need: others that it loads may ask for more. */
function neededGlibc(names: readonly string[], torchNeuronx: string | undefined): string | undefined {
  const { torch_minor: torch, glibc } = sdkVersions();
  const asked = names.flatMap((name) => /^GLIBC_(2\.\d+)(\.\d+)?$/.exec(name)?.[1] ?? []);
  const known = torchNeuronx !== undefined && compareVersions(torchNeuronx, torch) >= 0 ? [glibc] : [];
  return [...asked, ...known].sort(compareVersions).at(-1);
}

async function testLoad(examination: Examination, path: string): Promise<Finding> {
  const id = "neuron.libtorchneuron.load";
  const { loaded } = await examination.addon();
  if (!loaded) return about(id).skipped("Not loaded for a test: the addon does not load.");
  const { libnrt } = await examination.neuron();
  // As the models' process does: the runtime by its full path first.
  const libraries = libnrt.path === undefined ? [path] : [libnrt.path, path];
  const answer = await askNative<null>(examination.host, "library", libraries);
  const beside = `beside libtorch ${loaded.libtorchVersion}`;
  if (answer.ok) return about(id).ok(`It loads ${beside}.`);
  const { how, reason } = answer;
  return examination.fault(
    about(id, { how, reason }),
    `It does not load ${beside}: ${reason}`,
    /undefined symbol/.test(reason)
      ? "Its torch is of another version or C++ ABI. Build the addon with the torch of the same environment: " +
          "NEURON_BLIP_LIBTORCH=…/site-packages/torch npx neuron-blip build"
      : `Install aws-neuronx-runtime-lib and torch-neuronx of the same SDK: \`${aptInstall("aws-neuronx-runtime-lib")}\`, torch-neuronx==${sdkVersions().pip["torch-neuronx"]}.`,
  );
}
