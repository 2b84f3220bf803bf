import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { isObject } from "../../util/json-file.js";
import { libraryName, readTorchDirectory } from "./torch-directory.js";

/** The libtorch that an addon was built with, as its build wrote it down. */
export interface BuiltWith {
  readonly version: string;
  readonly libDir: string;
  /** For people. */
  readonly label?: string;
  /** Where it came from, such as "neuron-venv". */
  readonly origin?: string;
  readonly cuda?: boolean;
}

/** An addon that `neuron-blip build` made for this user. */
export interface BuiltAddon {
  readonly addon: string;
  /** It finds that by itself. */
  readonly libtorch: BuiltWith;
  /** Why it cannot be used; undefined where it can. */
  readonly fault: string | undefined;
}

/**
 * Tells where `neuron-blip build` puts addons of a version of this package: a directory for each libtorch. It is the user's cache,
 * because the package's own directory may be another user's.
 */
export function builtAddonsDirectory(env: Readonly<Record<string, string | undefined>>, version: string): string {
  const base = env.NEURON_BLIP_CACHE || env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache");
  return join(base, "neuron-blip", "addons", `${version}-${process.platform}-${process.arch}`);
}

/** Lists the addons in such a directory, the last built first. */
export function readBuiltAddons(directory: string): BuiltAddon[] {
  return list(directory)
    .map((name) => join(directory, name, "Release", "neuron_blip.node"))
    .filter((addon) => existsSync(addon))
    .map((addon) => ({ addon, builtAt: statSync(addon).mtimeMs }))
    .sort((one, other) => other.builtAt - one.builtAt)
    .flatMap(({ addon }) => {
      const libtorch = readBuiltWith(addon);
      return libtorch === undefined ? [] : [{ addon, libtorch, fault: faultOf(libtorch) }]; // without it, it was not finished
    });
}

/** Reads what the build of an addon wrote beside it; undefined where it is not there. */
export function readBuiltWith(addon: string): BuiltWith | undefined {
  try {
    const stamp: unknown = JSON.parse(readFileSync(join(dirname(addon), "neuron_blip.json"), "utf8"));
    const libtorch = isObject(stamp) && isObject(stamp.settings) ? stamp.settings.libtorch : undefined;
    if (!isObject(libtorch)) return undefined;
    const { version, libDir, label, origin, cuda } = libtorch;
    if (typeof version !== "string" || typeof libDir !== "string") return undefined;
    return {
      version,
      libDir,
      ...(typeof label === "string" && { label }),
      ...(typeof origin === "string" && { origin }),
      ...(typeof cuda === "boolean" && { cuda }),
    };
  } catch {
    return undefined;
  }
}

function faultOf({ version, libDir }: BuiltWith): string | undefined {
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
