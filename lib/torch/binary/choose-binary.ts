import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { NeuronBlipError } from "../../errors.js";
import { packageFile } from "../../util/package-file.js";
import type { BinaryHost, OwnPackage } from "./binary-host.js";
import { type BuiltAddon, builtAddonsDirectory, readBuiltAddons } from "./built-addons.js";
import { type HostLibtorch, namedLibtorch, pythonLibtorches } from "./host-libtorch.js";
import { labelOf, noAddonFor, nothingFound, nothingNamed, reasonOf } from "./no-binary.js";
import { isThere } from "./obstacle.js";
import {
  type AddonPackage,
  packageNames,
  packagesSeenFrom,
  readAddonPackage,
  readLibtorchPackage,
} from "./platform-packages.js";
import { cxx11AbiOf, libraryName, minorOf, type TorchDirectory } from "./torch-directory.js";

/** The addon to load, and how. */
export interface ChosenBinary {
  readonly addon: string;
  /** Half a sentence for people, such as "NEURON_BLIP_ADDON names it". */
  readonly why: string;
  /** What must be loaded before the addon, for one that does not find libtorch by itself. */
  readonly libtorch?: {
    readonly version: string;
    readonly libDir: string;
    /** In the order in which they are to be loaded, by `loader`. */
    readonly libraries: readonly string[];
    readonly loader: string;
  };
}

export interface Decision {
  /** undefined where there is none: `error` says why. */
  readonly chosen: ChosenBinary | undefined;
  readonly error: NeuronBlipError | undefined;
  /** What was there and was passed over, and why: a sentence each. */
  readonly passedOver: readonly string[];
}

/** Describes the host that this process runs on. */
export function binaryHost(options: Partial<BinaryHost> = {}): BinaryHost {
  return { env: process.env, root: "/", platform: `${process.platform}-${process.arch}`, own: ownPackage, ...options };
}

function ownPackage(): OwnPackage {
  const file = packageFile("../package.json");
  const { version } = createRequire(file)(file) as { version: string };
  return { directory: dirname(file), version, findPackage: packagesSeenFrom(file) };
}

/**
 * Chooses the addon and the libtorch that it is loaded with: the one that NEURON_BLIP_ADDON names; one built from source in this directory,
 * then by `neuron-blip build`; the host's libtorch (NEURON_BLIP_LIBTORCH, active Python environments, AWS Neuron's) with the platform
 * package's addon for its minor version; the platform package's libtorch. Looks at files alone, and loads nothing. An addon is never
 * chosen for another minor version than its own: C++ promises nothing between two.
 * @throws NeuronBlipError `BUNDLED` where this package is inside a bundle, and NEURON_BLIP_ADDON does not say where its addon is.
 */
export function chooseBinary(host: BinaryHost): Decision {
  const named = host.env.NEURON_BLIP_ADDON;
  if (named) return choice({ addon: named, why: "NEURON_BLIP_ADDON names it" });
  const own = host.own();
  const source = join(own.directory, "build", "Release", "neuron_blip.node");
  if (isThere(source)) return choice({ addon: source, why: "it was built from source in this directory" });

  const names = packageNames(host.platform);
  const addons: AddonPackage =
    names === undefined ? { fault: "is not published" } : readAddonPackage(names.addons, own.findPackage, own.version);
  const built = readBuiltAddons(builtAddonsDirectory(host.env, own.version));
  const namedTorch = namedLibtorch(host);
  if (namedTorch === "nothing") return failure(nothingNamed(host));
  if (namedTorch !== "unset") {
    return withLibtorch(namedTorch, addons, built) ?? failure(noAddonFor(namedTorch, names?.addons, addons));
  }
  const passedOver: string[] = [];
  for (const { addon, libtorch, fault } of built) {
    const why = `\`neuron-blip build\` made it, with libtorch ${libtorch.version} (${libtorch.libDir})`;
    if (fault === undefined) return choice({ addon, why }, passedOver);
    passedOver.push(`The addon ${addon}: ${fault}.`);
  }
  for (const torch of pythonLibtorches(host)) {
    const found = withLibtorch(torch, addons, built);
    if (found !== undefined) return { ...found, passedOver };
    const error = noAddonFor(torch, names?.addons, addons);
    if (torch.required) return failure(error, passedOver);
    passedOver.push(`${labelOf(torch)}: ${reasonOf(names?.addons, addons)}.`);
  }
  if (names === undefined) return failure(nothingFound(host, own, passedOver, []), passedOver);
  const libtorch = readLibtorchPackage(names.libtorch, own.findPackage);
  if (addons.fault === undefined && libtorch.fault === undefined) {
    const addon = addons.addons.find(({ minor }) => minor === minorOf(libtorch.version));
    if (addon !== undefined) {
      const why = `it is ${names.addons}'s, with the libtorch ${libtorch.version} of ${names.libtorch}`;
      return choice(packaged(addon.addon, addons.loader, libtorch, why), passedOver);
    }
  }
  const faults = [
    `package ${names.addons}: ${addons.fault ?? `has addons for torch ${addons.addons.map(({ minor }) => minor).join(", ")} alone`}`,
    `package ${names.libtorch}: ${libtorch.fault ?? `has libtorch ${libtorch.version}`}`,
  ];
  return failure(nothingFound(host, own, passedOver, faults), passedOver);
}

/** Chooses a libtorch of the host, with the addon built for it, else with the package's of its minor version and C++ ABI. */
function withLibtorch({ torch, origin }: HostLibtorch, addons: AddonPackage, built: readonly BuiltAddon[]) {
  const own = built.find(({ libtorch, fault }) => fault === undefined && libtorch.libDir === torch.libDir);
  const where = `libtorch ${torch.version} (${origin}: ${torch.directory})`;
  if (own !== undefined) return choice({ addon: own.addon, why: `\`neuron-blip build\` made it for ${where}` });
  if (addons.fault !== undefined) return undefined;
  const fitting = addons.addons.find(
    ({ minor, cxx11Abi }) => minor === minorOf(torch.version) && cxx11Abi === cxx11AbiOf(torch),
  );
  if (fitting === undefined) return undefined;
  const why = `it is the platform package's for torch ${fitting.minor}, with ${where}`;
  return choice(packaged(fitting.addon, addons.loader, torch, why));
}

function packaged(
  addon: string,
  loader: string,
  { version, libDir }: Pick<TorchDirectory, "version" | "libDir">,
  why: string,
): ChosenBinary {
  // In the order in which they need each other; libtorch finds its further libraries by itself.
  const libraries = ["c10", "torch_cpu"].map((name) => join(libDir, libraryName(name)));
  return { addon, why, libtorch: { version, libDir, libraries, loader } };
}

function choice(chosen: ChosenBinary, passedOver: readonly string[] = []): Decision {
  return { chosen, error: undefined, passedOver };
}

function failure(error: NeuronBlipError, passedOver: readonly string[] = []): Decision {
  return { chosen: undefined, error, passedOver };
}
