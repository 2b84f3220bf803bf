import { dirname, join } from "node:path";
import { messageOf } from "../../../errors.js";
import { minorOf } from "../../../torch/binary/torch-directory.js";
import { torchVersionBeside } from "../../../torch/neuron/find-libraries.js";
import { aptInstall, sdkVersions } from "../../../torch/neuron/sdk-versions.js";
import type { Examination, Probe } from "../examination.js";
import { type Finding, ok, skipped } from "../finding.js";
import { askNative } from "../native-answer.js";
import { readSharedLibrary, type SharedLibrary } from "../shared-library.js";
import { compareVersions } from "../versions.js";

const ID = "neuron.libtorchneuron";

/** libtorchneuron.so, and whether it fits this host and the libtorch that the addon was built with. */
export const libtorchneuron: Probe = {
  id: ID,
  async run(examination) {
    const { present, libtorchneuron: found } = await examination.neuron();
    if (!present) return skipped(ID, "There is nothing of AWS Neuron here.");
    if (found.path === undefined) {
      const looked =
        found.places.length > 0 ? found.places.join(", ") : "the active Python, /opt/aws_neuronx_venv_pytorch*";
      return examination.neuronFault(
        ID,
        `libtorchneuron.so, with which libtorch runs on NeuronCores, is not there (looked in ${looked}).`,
        "Activate a Python environment that has torch-neuronx (AWS's images have some in /opt), or set " +
          "NEURON_BLIP_LIBTORCHNEURON to the file.",
        { places: found.places },
      );
    }
    const findings: Finding[] = [ok(ID, found.path, { path: found.path })];
    const unfit = await misfits(examination, found.path);
    if (unfit.length > 0) return [...findings, ...unfit];
    return [...findings, await testLoad(examination, found.path)];
  },
};

/** The first torch of which torch-neuronx is TorchNeuron. */
const TORCH_NEURON_FROM = "2.13";

/** What can be told without loading it. */
async function misfits(examination: Examination, path: string): Promise<Finding[]> {
  const { host } = examination;
  let library: SharedLibrary;
  try {
    library = await readSharedLibrary(path);
  } catch (error) {
    return [
      await examination.neuronFault(
        `${ID}.file`,
        `${path} cannot be read: ${messageOf(error)}.`,
        "Install torch-neuronx again.",
        {
          path,
        },
      ),
    ];
  }
  const findings: Finding[] = [];
  const { arch, glibc, cxx11Abi } = library;
  if (arch !== host.arch) {
    findings.push(
      await examination.neuronFault(
        `${ID}.arch`,
        `It is for ${arch}, and this host is ${host.arch}.`,
        "Install torch-neuronx for this host's processor.",
        { library: arch, host: host.arch },
      ),
    );
  }
  const { torchNeuronx: version } = await examination.neuron();
  if (version !== undefined && compareVersions(version, TORCH_NEURON_FROM) >= 0) {
    findings.push(
      await examination.neuronFault(
        `${ID}.product`,
        `It is of torch-neuronx ${version}: ${sdkVersions().newer_torch}.`,
        `Use an environment with torch-neuronx ${sdkVersions().pip["torch-neuronx"]} (Neuron SDK ${sdkVersions().sdk}), such as ${sdkVersions().environment} of AWS's images.`,
        { version },
      ),
    );
    return findings;
  }
  const needed = neededGlibc(glibc, version);
  if (needed !== undefined && host.glibc !== undefined && compareVersions(needed, host.glibc) > 0) {
    findings.push(
      await examination.neuronFault(
        `${ID}.glibc`,
        `It needs glibc ${needed}, and this host has ${host.glibc}.`,
        `Use a system with glibc ${needed} or newer (Ubuntu 22.04 and Debian 12 have 2.35 and 2.36, Amazon Linux 2023 has 2.34), or an older torch-neuronx.`,
        { needed, host: host.glibc },
      ),
    );
  }
  const { answer } = await examination.addon();
  if (answer?.ok !== true) return findings;
  const { libtorchVersion: ours, cxx11Abi: ourAbi } = answer.value;
  const theirs = torchVersionBeside(path);
  const rebuild =
    "Build the addon with the torch of the same environment: NEURON_BLIP_LIBTORCH=" +
    `${theirs === undefined ? "…/site-packages/torch" : join(dirname(dirname(dirname(path))), "torch")} npx neuron-blip build`;
  if (theirs !== undefined && minorOf(theirs) !== minorOf(ours)) {
    findings.push(
      await examination.neuronFault(
        `${ID}.torch`,
        `It was made for torch ${theirs}, and the addon was built with libtorch ${ours}; the first two numbers must be the same.`,
        rebuild,
        { library: theirs, addon: ours },
      ),
    );
  }
  if (cxx11Abi !== undefined && cxx11Abi !== ourAbi) {
    findings.push(
      await examination.neuronFault(
        `${ID}.abi`,
        `It was made with C++ ABI ${cxx11Abi}, and the addon's libtorch with ${ourAbi}.`,
        rebuild,
        { library: cxx11Abi, addon: ourAbi },
      ),
    );
  }
  return findings;
}

/** The newer of what the file asks for and what its version is known to need: others that it loads may ask for more. */
function neededGlibc(glibc: string | undefined, torchNeuronx: string | undefined): string | undefined {
  const known =
    torchNeuronx !== undefined && compareVersions(torchNeuronx, sdkVersions().torch_minor) >= 0
      ? sdkVersions().glibc
      : undefined;
  if (glibc === undefined || known === undefined) return glibc ?? known;
  return compareVersions(glibc, known) > 0 ? glibc : known;
}

async function testLoad(examination: Examination, path: string): Promise<Finding> {
  const id = `${ID}.load`;
  const { answer: addon } = await examination.addon();
  if (addon?.ok !== true) return skipped(id, "Not loaded for a test: the addon does not load.");
  const { libnrt } = await examination.neuron();
  // As the models' process does: the runtime by its full path first.
  const libraries = libnrt.path === undefined ? [path] : [libnrt.path, path];
  const answer = await askNative<null>(examination.host, "library", libraries);
  const beside = `beside libtorch ${addon.value.libtorchVersion}`;
  if (answer.ok) return ok(id, `It loads ${beside}.`);
  return examination.neuronFault(
    id,
    `It does not load ${beside}: ${answer.reason}`,
    /undefined symbol/.test(answer.reason)
      ? "Its torch is of another version or C++ ABI. Build the addon with the torch of the same environment: " +
          "NEURON_BLIP_LIBTORCH=…/site-packages/torch npx neuron-blip build"
      : `Install aws-neuronx-runtime-lib and torch-neuronx of the same SDK: \`${aptInstall("aws-neuronx-runtime-lib")}\`, torch-neuronx==${sdkVersions().pip["torch-neuronx"]}.`,
    { how: answer.how, reason: answer.reason },
  );
}
