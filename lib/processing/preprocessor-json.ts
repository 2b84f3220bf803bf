/** What a model directory's files say of how pictures are prepared. */
import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readJsonIfThere } from "../util/json-file.js";
import { shown } from "../util/values.js";
import type { BlipImageProcessorConfig } from "./image-processor-config.js";

/** The settings of transformers that are followed, by the name of ours. */
const NAMES = {
  do_resize: "doResize",
  resample: "resample",
  do_center_crop: "doCenterCrop",
  do_rescale: "doRescale",
  rescale_factor: "rescaleFactor",
  do_normalize: "doNormalize",
  image_mean: "imageMean",
  image_std: "imageStd",
  do_pad: "doPad",
} as const satisfies Record<string, keyof BlipImageProcessorConfig>;

/** Settings that would make other pixels, with the values that make those of BLIP. */
const REFUSED: Readonly<Record<string, readonly unknown[]>> = {
  do_convert_rgb: [true],
  data_format: ["channels_first"],
  input_data_format: [],
};

/** transformers' classes whose files these are. */
const PROCESSORS = ["BlipImageProcessor", "BlipImageProcessorFast", "BlipImageProcessorPil", "BlipFeatureExtractor"];

export interface PreprocessorFile {
  /** The file, for messages. */
  readonly path: string;
  readonly config: BlipImageProcessorConfig;
}

/**
 * Reads the settings as transformers 5 does: those nested in processor_config.json come before preprocessor_config.json. Where
 * there are none, BLIP's are taken with the size that config.json gives the vision model.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH` for settings that are not supported
 */
export async function readPreprocessor(directory: string): Promise<PreprocessorFile> {
  const processorPath = join(directory, "processor_config.json");
  const nested = (await readJsonIfThere(processorPath))?.image_processor ?? undefined;
  if (nested !== undefined) {
    if (!isObject(nested)) throw corrupt(processorPath, "image_processor", nested, "an object");
    return { path: processorPath, config: configOf(nested, processorPath) };
  }
  const path = join(directory, "preprocessor_config.json");
  const json = await readJsonIfThere(path);
  if (json !== undefined) return { path, config: configOf(json, path) };
  const modelPath = join(directory, "config.json");
  const vision = (await readJsonIfThere(modelPath))?.vision_config;
  const size = isObject(vision) ? (vision.image_size ?? undefined) : undefined;
  return { path: modelPath, config: size === undefined ? {} : ({ size: squareOf(size) } as BlipImageProcessorConfig) };
}

function configOf(json: JsonObject, path: string): BlipImageProcessorConfig {
  const type = json.image_processor_type ?? json.feature_extractor_type ?? PROCESSORS[0];
  if (typeof type !== "string" || !PROCESSORS.includes(type)) throw refused(path, "image_processor_type", type);
  for (const [name, value] of Object.entries(json)) {
    if (value === null) continue;
    const isKnown = Object.hasOwn(NAMES, name);
    const allowed = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
    if (allowed ? !allowed.includes(value) : name.startsWith("do_") && !isKnown && value !== false) {
      throw refused(path, name, value);
    }
  }
  const config: Record<string, unknown> = {};
  for (const [theirs, ours] of Object.entries(NAMES)) {
    const value = json[theirs] ?? undefined;
    if (value !== undefined) config[ours] = value;
  }
  const isSquare = json.default_to_square !== false;
  const size = json.size ?? undefined;
  if (size !== undefined) config.size = sizeOf(isSquare || typeof size !== "number" ? size : { shortest_edge: size });
  // Without the flag, they mean nothing.
  if (json.crop_size != null && json.do_center_crop === true) config.cropSize = sizeOf(json.crop_size);
  if (json.pad_size != null && json.do_pad === true) config.padSize = sizeOf(json.pad_size);
  return config as BlipImageProcessorConfig;
}

/**
 * Reads a size as transformers writes it, with our names: a number, [height, width], or an object. What is none is kept, to be
 * refused.
 */
function sizeOf(size: unknown): unknown {
  if (typeof size === "number") return squareOf(size);
  if (Array.isArray(size) && size.length === 2) return { height: size[0], width: size[1] };
  if (!isObject(size)) return size;
  const names: Record<string, string> = {
    shortest_edge: "shortestEdge",
    longest_edge: "longestEdge",
    max_height: "maxHeight",
    max_width: "maxWidth",
  };
  const given = Object.entries(size).filter(([, value]) => value !== null);
  return Object.fromEntries(given.map(([name, value]) => [Object.hasOwn(names, name) ? names[name] : name, value]));
}

function squareOf(size: unknown): unknown {
  return { height: size, width: size };
}

function refused(path: string, name: string, value: unknown): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" sets ${shown(name)} to ${shown(value)}, which this version does not support: pictures would come out otherwise ` +
      "than transformers' BlipImageProcessor makes them. Remove the setting, if the model does not need it.",
  );
}

function corrupt(path: string, name: string, value: unknown, must: string): NeuronBlipError {
  return new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}": ${name} must be ${must}, not ${shown(value)}.`);
}
