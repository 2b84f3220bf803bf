/** The errors of a host where no addon can be chosen. */
import { join } from "node:path";
import { NeuronBlipError } from "../../errors.js";
import { shorten } from "../../util/values.js";
import type { BinaryHost, OwnPackage } from "./binary-host.js";
import { buildCommand, installCommand } from "./build-command.js";
import { builtAddonsDirectory } from "./built-addons.js";
import { runningGlibc } from "./glibc.js";
import { ENVIRONMENT_VARIABLES, type HostLibtorch } from "./host-libtorch.js";
import { isThere } from "./obstacle.js";
import type { AddonPackage } from "./platform-packages.js";
import { libraryName } from "./torch-directory.js";

export function labelOf({ torch, origin }: HostLibtorch): string {
  return `libtorch ${torch.version} (${origin}: ${shorten(torch.directory, 200)})`;
}

/** Says why no addon of the platform package fits. */
export function reasonOf(name: string | undefined, addons: AddonPackage): string {
  if (name === undefined) return "no binaries are published for this platform";
  if (addons.fault !== undefined) return `package ${name} ${addons.fault}`;
  return `${name} has addons for torch ${addons.addons.map(({ minor, cxx11Abi }) => `${minor}${cxx11Abi === 1 ? "" : " (the older C++ ABI)"}`).join(", ")} alone`;
}

export function noAddonFor(host: HostLibtorch, name: string | undefined, addons: AddonPackage): NeuronBlipError {
  return new NeuronBlipError(
    "ADDON_NOT_BUILT",
    `neuron-blip has no native addon for ${labelOf(host)}: ${reasonOf(name, addons)}, and none was built for it. Build one, with a ` +
      `C++20 compiler, make and CMake: \`${buildCommand()} --libtorch ${shorten(host.torch.directory, 200)}\`.`,
  );
}

export function nothingNamed({ env }: BinaryHost): NeuronBlipError {
  const named = env.NEURON_BLIP_LIBTORCH ?? "";
  const state = isThere(named) ? "there is no libtorch in it, or none that this user may read" : "it does not exist";
  return new NeuronBlipError(
    "LIBTORCH_NOT_FOUND",
    `NEURON_BLIP_LIBTORCH is "${shorten(named, 200)}": ${state}. It must name the directory of Python's torch package, of a Python ` +
      `environment that has one, or of a libtorch archive: one that holds lib/${libraryName("torch_cpu")}. Correct it, or unset it.`,
  );
}

/** Names every place that was looked at, and the command for each cure. */
export function nothingFound(
  host: BinaryHost,
  own: OwnPackage,
  passedOver: readonly string[],
  packages: readonly string[],
): NeuronBlipError {
  const short = (path: string) => shorten(path, 110);
  const variables = ENVIRONMENT_VARIABLES.map((name) => `${name} ${host.env[name] ? "has no torch" : "is not set"}`);
  const looked = [
    "NEURON_BLIP_ADDON and NEURON_BLIP_LIBTORCH are not set",
    `nothing was built in ${short(join(own.directory, "build"))} or ${short(builtAddonsDirectory(host.env, own.version))}`,
    ...(passedOver.length > 0
      ? passedOver.map((line) => shorten(line.replace(/\.$/, ""), 160))
      : [`${variables.join(", ")}, no AWS Neuron environment in ${join(host.root, "opt")}`]),
    ...packages,
  ];
  const build = `build one here, with a C++20 compiler, make and CMake: \`${buildCommand()}\``;
  const cure =
    packages.length === 0
      ? `No binaries are published for ${host.platform}: ${build}`
      : `Install neuron-blip with its optional dependencies, on the platform where it shall run: \`${installCommand()}\`; or ${build}`;
  return new NeuronBlipError(
    "ADDON_NOT_BUILT",
    `neuron-blip has no native addon for ${host.platform} here. ${isMusl(host) ? MUSL : cure}. Looked at: ${looked.join("; ")}.`,
  );
}

const MUSL =
  "libtorch does not exist for musl, the C library of Alpine Linux: use an image with glibc, such as node:22-slim, and install " +
  "neuron-blip there";

function isMusl({ platform }: BinaryHost): boolean {
  return platform.startsWith("linux-") && runningGlibc() === undefined;
}
