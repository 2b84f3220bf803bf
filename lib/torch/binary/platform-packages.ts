import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { isObject } from "../../util/json-file.js";
import { libraryName } from "./torch-directory.js";

/** The platforms that binaries are published for. */
const PUBLISHED: readonly string[] = ["linux-x64"];

/** The package's addon for one minor version of torch. */
export interface PackagedAddon {
  readonly addon: string;
  /** Of libtorch, such as "2.13". */
  readonly minor: string;
  readonly cxx11Abi: number;
}

/** A package that is installed, or why it does not serve. */
export type Installed<T> = ({ readonly fault?: undefined } & T) | { readonly fault: string };

export type AddonPackage = Installed<{ readonly loader: string; readonly addons: readonly PackagedAddon[] }>;

export type LibtorchPackage = Installed<{ readonly version: string; readonly libDir: string }>;

/** Finds a package's directory; undefined where it is not installed. */
export type FindPackage = (name: string) => string | undefined;

/** Returns the names of the platform's two packages; undefined where none are published for it. */
export function packageNames(platform: string): { readonly addons: string; readonly libtorch: string } | undefined {
  if (!PUBLISHED.includes(platform)) return undefined;
  return { addons: `@neuron-blip/${platform}`, libtorch: `@neuron-blip/libtorch-${platform}` };
}

/** Finds packages as Node and Yarn's Plug'n'Play do, seen from a file. */
export function packagesSeenFrom(file: string): FindPackage {
  const { resolve } = createRequire(file);
  return (name) => {
    try {
      return realpathSync(dirname(resolve(`${name}/package.json`)));
    } catch {
      return undefined;
    }
  };
}

/** Reads the package with the addons. @param version of neuron-blip: the package's must be the same. */
export function readAddonPackage(name: string, find: FindPackage, version: string): AddonPackage {
  const directory = find(name);
  if (directory === undefined) return { fault: "is not installed" };
  const loader = join(directory, "loader.node");
  // In a clone it is a directory without binaries.
  if (!existsSync(loader)) return { fault: `has no binaries (${directory})` };
  const found = readJson(join(directory, "package.json")).version;
  if (found !== version) return { fault: `is version ${found}, and neuron-blip is ${version}` };
  const addons = readdirSync(directory)
    .filter((entry) => entry.startsWith("torch-"))
    .flatMap((entry) => {
      const { cxx11Abi } = readJson(join(directory, entry, "neuron_blip.json"));
      const minor = entry.slice("torch-".length);
      return typeof cxx11Abi === "number"
        ? [{ addon: join(directory, entry, "neuron_blip.node"), minor, cxx11Abi }]
        : [];
    });
  return { loader, addons };
}

export function readLibtorchPackage(name: string, find: FindPackage): LibtorchPackage {
  const directory = find(name);
  if (directory === undefined) return { fault: "is not installed" };
  const libDir = join(directory, "lib");
  if (!existsSync(join(libDir, libraryName("torch_cpu")))) return { fault: `has no binaries (${directory})` };
  const { version } = readJson(join(directory, "package.json"));
  return typeof version === "string" ? { version, libDir } : { fault: `has no version (${directory})` };
}

function readJson(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
