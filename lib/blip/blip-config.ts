import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readJsonIfThere } from "../util/json-file.js";
import { isWhole, shown } from "../util/values.js";
import { type Architecture, HEADS, isArchitecture } from "./heads.js";

/** What running BLIP needs of its `config.json`, with transformers' defaults, which it leaves out of the file. */
export interface BlipConfig {
  /** transformers' class. A config.json that names none is taken for question answering's. */
  architecture: Architecture;
  imageSize: number;
  patchSize: number;
  visionHiddenSize: number;
  textHiddenSize: number;
  vocabSize: number;
  maxPositionEmbeddings: number;
  /** Begins every answer. */
  bosTokenId: number;
  /** Ends every answer: transformers' BLIP generates until [SEP], not until `eos_token_id`. */
  sepTokenId: number;
  padTokenId: number;
}

/**
 * The most that is believed of each size: several times what any BLIP has. Memory is taken by these before the parts, which
 * know better, have been asked.
 */
const MOST = {
  image_size: 4096,
  patch_size: 4096,
  hidden_size: 16_384,
  intermediate_size: 65_536,
  image_text_hidden_size: 16_384,
  vocab_size: 2 ** 21,
  max_position_embeddings: 8192,
  num_hidden_layers: 1024,
  num_attention_heads: 1024,
} as const;

/** The most numbers that a picture becomes: 256 MB. At 384 pixels BLIP makes 577 x 768. */
const MOST_IMAGE_NUMBERS = 2 ** 26;

/**
 * Reads a model directory's `config.json`.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for a model that is not BLIP's.
 */
export async function readBlipConfig(directory: string): Promise<BlipConfig> {
  const path = join(directory, "config.json");
  const json = await readJsonIfThere(path);
  if (json === undefined) {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `There is no "${path}". Give the directory that \`neuron-blip compile\` or the tutorial's trace() wrote.`,
    );
  }
  const kind = json.model_type ?? "blip";
  if (kind !== "blip") {
    throw new NeuronBlipError("ARTIFACT_MISMATCH", `"${path}" is of a model of type ${shown(kind)}, not of "blip".`);
  }
  const size = (section: JsonObject, name: SizeName, fallback: number) => sizeIn(path, section, name, fallback);
  const vision = sectionOf(json, "vision_config", path);
  const text = sectionOf(json, "text_config", path);
  const vocabSize = size(text, "vocab_size", 30524);
  const architecture = architectureOf(json, path);
  const tokenId = (name: string, fallback: number): number => {
    const value = text[name] ?? fallback;
    // A model that writes nothing may have been saved before [DEC] was added.
    if (architecture === "BlipForImageTextRetrieval" && name === "bos_token_id" && isWhole(value, 0, MOST.vocab_size)) {
      return value;
    }
    if (isWhole(value, 0, vocabSize - 1)) return value;
    throw corrupt(path, name, value, `a token's id, from 0 to ${vocabSize - 1}, since vocab_size is ${vocabSize}`);
  };
  for (const section of [vision, text]) {
    for (const name of ["num_hidden_layers", "num_attention_heads"] as const) size(section, name, 1);
  }
  const config = {
    architecture,
    imageSize: size(vision, "image_size", 384),
    patchSize: size(vision, "patch_size", 16),
    visionHiddenSize: size(vision, "hidden_size", 768),
    textHiddenSize: size(text, "hidden_size", 768),
    vocabSize,
    maxPositionEmbeddings: size(text, "max_position_embeddings", 512),
    bosTokenId: tokenId("bos_token_id", 30522),
    sepTokenId: tokenId("sep_token_id", 102),
    padTokenId: tokenId("pad_token_id", 0),
  };
  const { imageSize, patchSize, visionHiddenSize } = config;
  const tokens = imageTokensOf(config);
  if (patchSize > imageSize || tokens * visionHiddenSize > MOST_IMAGE_NUMBERS) {
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}": pictures of ${imageSize} pixels in patches of ${patchSize} would become ${tokens} x ${visionHiddenSize} ` +
        `numbers, and there must be patches and at most ${MOST_IMAGE_NUMBERS} numbers. No BLIP is like that.`,
    );
  }
  return config;
}

function architectureOf(json: JsonObject, path: string): Architecture {
  const named: unknown[] = Array.isArray(json.architectures) ? json.architectures : [];
  if (named.length === 0) return "BlipForQuestionAnswering";
  const architecture = named.find(isArchitecture);
  if (architecture !== undefined) return architecture;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" is of ${named.slice(0, 5).map(shown).join(", ")}. This package runs ${Object.keys(HEADS).join(", ")}.`,
  );
}

type SizeName = keyof typeof MOST;

/**
 * Reads a size in a section of config.json.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT` for what is none, or more than any BLIP has.
 */
export function sizeIn(path: string, section: JsonObject, name: SizeName, fallback: number): number {
  const given = section[name] ?? fallback;
  // transformers takes height and width, too.
  const value = Array.isArray(given) && given.length === 2 && given[0] === given[1] ? given[0] : given;
  if (isWhole(value, 1, MOST[name])) return value;
  throw corrupt(path, name, value, `a whole number from 1 to ${MOST[name]}, as no BLIP has more`);
}

/** Returns a section of config.json, which transformers leaves out where all of it is as usual. */
export function sectionOf(json: JsonObject, name: string, path: string): JsonObject {
  const section = json[name] ?? {};
  if (isObject(section)) return section;
  throw corrupt(path, name, section, "an object");
}

function corrupt(path: string, name: string, value: unknown, must: string): NeuronBlipError {
  return new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}": ${name} must be ${must}, not ${shown(value)}.`);
}

/** Counts the tokens that the vision model makes of one picture: its patches and the class token. */
export function imageTokensOf(config: Pick<BlipConfig, "imageSize" | "patchSize">): number {
  return Math.floor(config.imageSize / config.patchSize) ** 2 + 1;
}
