import { join } from "node:path";
import { readBlipConfig } from "../../blip/blip-config.js";
import { HEADS } from "../../blip/heads.js";
import { readManifest } from "../../blip/manifest.js";
import { checkManifestShapes } from "../../blip/manifest-shapes.js";
import { holdsCompiledParts } from "../../blip/model-directory.js";
import { weightFilesOf } from "../../blip/parts/checkpoint/weight-files.js";
import { messageOf } from "../../errors.js";
import { directoryOf } from "../../hub/model-directory.js";
import type { Host } from "../report/host.js";
import { askNative } from "./native-answer.js";

/** What a value is, or why it could not be had. */
type Attempt<T> =
  | { readonly value: T; readonly failure?: never }
  | { readonly value?: never; readonly failure: string };

/**
 * Reads what a model directory holds, as its loader does.
 * @param addonLoads whether the addon can be asked what the parts are.
 */
export async function readModelFacts(host: Host, directory: string, addonLoads: boolean) {
  const config = await attempt(async () => readBlipConfig(await directoryOf(directory)));
  const architecture = config.value?.architecture;
  /** A value of undefined: the directory has none, as those of the tutorial. */
  const manifest = await attempt(async () => {
    const read = await readManifest(directory, architecture);
    if (read && config.value) checkManifestShapes(read, config.value);
    return read;
  });
  const { parts: required, optionalParts } = HEADS[architecture ?? "BlipForQuestionAnswering"];
  const isCheckpoint = !(await holdsCompiledParts(directory));
  const files = isCheckpoint
    ? ((await attempt(() => weightFilesOf(directory))).value ?? [])
    : [...required, ...optionalParts.filter((name) => manifest.value?.parts[name])].map((name) => `${name}.pt`);
  const sizes = await Promise.all(files.map((file) => host.size(join(directory, file))));
  /** The parts that are there, or a checkpoint's files of weights. */
  const parts = files.filter((_, i) => sizes[i] !== undefined);
  const bytes = sizes.reduce<number>((sum, size = 0) => sum + size, 0);
  /** The parts whose code needs Neuron; undefined where nobody looked, because the addon does not load. */
  const neuronParts = await attempt(async () => {
    if (!addonLoads || isCheckpoint || parts.length === 0) return undefined;
    const paths = parts.map((file) => join(directory, file));
    const answer = await askNative<boolean[]>(host, "inspect", paths);
    if (!answer.ok) throw new Error(answer.reason);
    return parts.filter((_, i) => answer.value[i]);
  });
  /** By its manifest or by its code. */
  const needsNeuron = manifest.value?.target === "inf2" || (neuronParts.value?.length ?? 0) > 0;
  return { directory, config, manifest, isCheckpoint, parts, bytes, neuronParts, needsNeuron };
}

async function attempt<T>(get: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await get() };
  } catch (error) {
    return { failure: messageOf(error) };
  }
}
