import { dirname, join } from "node:path";
import { isObject, type JsonObject } from "../json-file.js";
import { packageFile } from "../package-file.js";
import type { Host } from "./host.js";
import { askNative, type NativeAnswer } from "./native-answer.js";

/** What the addon says once it is loaded. */
export interface LoadedAddon {
  readonly libtorchVersion: string;
  readonly cxx11Abi: number;
  /** Real paths of the libraries that came with it. */
  readonly libraries: readonly string[];
}

export interface AddonFacts {
  readonly path: string;
  readonly built: boolean;
  /** undefined where it is not built. */
  readonly answer: NativeAnswer<LoadedAddon> | undefined;
  /** What the build wrote about the libtorch that it linked; undefined where it is not there. */
  readonly builtWith: JsonObject | undefined;
}

/** Looks for the addon and loads it in a child process. */
export async function readAddonFacts(host: Host): Promise<AddonFacts> {
  const path = host.env.NEURON_BLIP_ADDON ?? packageFile("../build/Release/neuron_blip.node");
  const built = await host.exists(path);
  const answer = built ? await askNative<LoadedAddon>(host, "addon") : undefined;
  return { path, built, answer, builtWith: await readStamp(host, join(dirname(path), "neuron_blip.json")) };
}

async function readStamp(host: Host, path: string): Promise<JsonObject | undefined> {
  try {
    const stamp: unknown = JSON.parse((await host.read(path)) ?? "null");
    const libtorch = isObject(stamp) && isObject(stamp.settings) ? stamp.settings.libtorch : undefined;
    return isObject(libtorch) ? libtorch : undefined;
  } catch {
    return undefined; // only details are lost
  }
}
