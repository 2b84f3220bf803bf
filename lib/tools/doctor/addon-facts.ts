import { dirname, join } from "node:path";
import { binaryHost, chooseBinary, type Decision } from "../../torch/binary/choose-binary.js";
import { isObject, type JsonObject } from "../../util/json-file.js";
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
  /** Which addon is loaded with which libtorch, and why. */
  readonly decision: Decision;
  /** undefined where there is no addon, or none at the place that was named. */
  readonly answer: NativeAnswer<LoadedAddon> | undefined;
  /** What the build wrote about the libtorch that it linked; undefined where it is not there. */
  readonly builtWith: JsonObject | undefined;
}

/** Looks for the addon and loads it in a child process. */
export async function readAddonFacts(host: Host): Promise<AddonFacts> {
  const decision = chooseBinary(binaryHost({ env: host.env, root: host.root }));
  const { chosen } = decision;
  if (chosen === undefined) return { decision, answer: undefined, builtWith: undefined };
  const answer = (await host.exists(chosen.addon)) ? await askNative<LoadedAddon>(host, "addon") : undefined;
  return { decision, answer, builtWith: await readStamp(host, join(dirname(chosen.addon), "neuron_blip.json")) };
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
