import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { isObject } from "../../util/json-file.js";
import { libraryName, readTorchDirectory } from "./torch-directory.js";

/** An addon that `neuron-blip build` made for this user. */
export interface BuiltAddon {
  readonly addon: string;
  /** Of the libtorch that it was built with, and finds by itself. */
  readonly libtorch: { readonly version: string; readonly libDir: string };
  /** Why it cannot be used; undefined where it can. */
  readonly fault: string | undefined;
}

/**
 * Where `neuron-blip build` puts addons of a version of this package: a directory for each libtorch. It is the user's cache, because
 * the package's own directory may be another user's.
 */
export function builtAddonsDirectory(env: Readonly<Record<string, string | undefined>>, version: string): string {
  const base = env.NEURON_BLIP_CACHE || env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache");
  return join(base, "neuron-blip", "addons", `${version}-${process.platform}-${process.arch}`);
}

/** The addons in such a directory, the last built first. */
export function readBuiltAddons(directory: string): BuiltAddon[] {
  return list(directory)
    .map((name) => join(directory, name, "Release", "neuron_blip.node"))
    .filter((addon) => existsSync(addon))
    .map((addon) => ({ addon, builtAt: statSync(addon).mtimeMs }))
    .sort((one, other) => other.builtAt - one.builtAt)
    .flatMap(({ addon }) => {
      const libtorch = readStamp(join(dirname(addon), "neuron_blip.json"));
      return libtorch === undefined ? [] : [{ addon, libtorch, fault: faultOf(libtorch) }]; // without it, it was not finished
    });
}

function readStamp(path: string): BuiltAddon["libtorch"] | undefined {
  try {
    const stamp: unknown = JSON.parse(readFileSync(path, "utf8"));
    const libtorch = isObject(stamp) && isObject(stamp.settings) ? stamp.settings.libtorch : undefined;
    if (!isObject(libtorch)) return undefined;
    const { version, libDir } = libtorch;
    return typeof version === "string" && typeof libDir === "string" ? { version, libDir } : undefined;
  } catch {
    return undefined;
  }
}

function faultOf({ version, libDir }: BuiltAddon["libtorch"]): string | undefined {
  if (!existsSync(libDir)) return `its libtorch is no longer in ${libDir}`;
  if (!existsSync(join(libDir, libraryName("torch_cpu")))) return `${libDir} has no libtorch any more`;
  const now = readTorchDirectory(dirname(libDir))?.version;
  return now === undefined || now === version
    ? undefined
    : `it was built with libtorch ${version}, and ${libDir} now has ${now}`;
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
