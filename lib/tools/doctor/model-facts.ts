import { join } from "node:path";
import { type BlipConfig, readBlipConfig } from "../../blip/blip-config.js";
import { HEADS } from "../../blip/heads.js";
import { type Manifest, readManifest } from "../../blip/manifest.js";
import { holdsCompiledParts } from "../../blip/model-directory.js";
import { weightFilesOf } from "../../blip/parts/checkpoint/weight-files.js";
import { messageOf } from "../../errors.js";
import { directoryOf } from "../../hub/model-directory.js";
import { isObject, type JsonObject, readJsonIfThere } from "../../util/json-file.js";
import type { AddonFacts } from "./addon-facts.js";
import type { Host } from "./host.js";
import { askNative } from "./native-answer.js";

/** What a value is, or why it could not be had. */
export type Attempt<T> =
  | { readonly value: T; readonly failure?: undefined }
  | { readonly value?: undefined; readonly failure: string };

export interface ModelFacts {
  readonly directory: string;
  readonly config: Attempt<BlipConfig>;
  /** A value of undefined: the directory has none, as those of the tutorial. */
  readonly manifest: Attempt<Manifest | undefined>;
  /** The manifest as it is in the file, where it can be read at all. */
  readonly json: JsonObject;
  /** Whether it is a checkpoint, and not compiled. */
  readonly isCheckpoint: boolean;
  /** The parts that are there, or a checkpoint's files of weights. */
  readonly parts: readonly { readonly file: string; readonly bytes: number }[];
  /** All of them together. */
  readonly bytes: number;
  /** The parts whose code needs Neuron; undefined where nobody looked, because the addon does not load. */
  readonly neuronParts: Attempt<readonly string[] | undefined>;
  /** Whether it needs Neuron, by its manifest or by its code. */
  readonly needsNeuron: boolean;
}

export async function readModelFacts(host: Host, directory: string, addon: AddonFacts): Promise<ModelFacts> {
  const config = await attempt(async () => {
    await directoryOf(directory);
    return readBlipConfig(directory);
  });
  const json = (await attempt(() => readJsonIfThere(join(directory, "neuron_blip.json")))).value ?? {};
  const architecture = config.value?.architecture;
  const manifest = await attempt(async () => architecture && (await readManifest(directory, architecture)));

  const { parts: required, optionalParts } = HEADS[architecture ?? "BlipForQuestionAnswering"];
  const named = isObject(json.parts) ? json.parts : {};
  const isCheckpoint = !(await holdsCompiledParts(directory));
  const expected = [...required, ...optionalParts.filter((name) => named[name] !== undefined)];
  const files = isCheckpoint
    ? ((await attempt(() => weightFilesOf(directory))).value ?? [])
    : expected.map((name) => `${name}.pt`);
  const sizes = await Promise.all(files.map(async (file) => ({ file, bytes: await host.size(join(directory, file)) })));
  const parts = sizes.filter((part): part is { file: string; bytes: number } => part.bytes !== undefined);
  const scripts = isCheckpoint ? [] : parts.map(({ file }) => file);
  const neuronParts = await attempt(() => findNeuronParts(host, directory, scripts, addon));
  return {
    directory,
    config,
    manifest,
    json,
    isCheckpoint,
    parts,
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    neuronParts,
    needsNeuron: json.target === "inf2" || (neuronParts.value?.length ?? 0) > 0,
  };
}

async function findNeuronParts(
  host: Host,
  directory: string,
  files: readonly string[],
  addon: AddonFacts,
): Promise<readonly string[] | undefined> {
  if (addon.answer?.ok !== true || files.length === 0) return undefined;
  const paths = files.map((file) => join(directory, file));
  const answer = await askNative<boolean[]>(host, "inspect", paths);
  if (!answer.ok) throw new Error(answer.reason);
  return files.filter((_, i) => answer.value[i]);
}

async function attempt<T>(get: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await get() };
  } catch (error) {
    return { failure: messageOf(error) };
  }
}
