import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readJsonIfThere } from "../json-file.js";
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
  if (json.model_type !== undefined && json.model_type !== "blip") {
    throw new NeuronBlipError("ARTIFACT_MISMATCH", `"${path}" is of a "${json.model_type}" model, not of "blip".`);
  }
  const vision = isObject(json.vision_config) ? json.vision_config : {};
  const text = isObject(json.text_config) ? json.text_config : {};
  const whole = (section: JsonObject, name: string, fallback: number): number => {
    const value = section[name] ?? fallback;
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}": ${name} must be a whole number, not ${JSON.stringify(value)}.`,
    );
  };
  const named = Array.isArray(json.architectures) ? json.architectures : [];
  const architecture = named.length === 0 ? "BlipForQuestionAnswering" : named.find(isArchitecture);
  if (architecture === undefined) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${path}" is of a ${named.join(", ")}. This package runs ${Object.keys(HEADS).join(", ")}.`,
    );
  }
  return {
    architecture,
    imageSize: whole(vision, "image_size", 384),
    patchSize: whole(vision, "patch_size", 16),
    visionHiddenSize: whole(vision, "hidden_size", 768),
    textHiddenSize: whole(text, "hidden_size", 768),
    vocabSize: whole(text, "vocab_size", 30524),
    maxPositionEmbeddings: whole(text, "max_position_embeddings", 512),
    bosTokenId: whole(text, "bos_token_id", 30522),
    sepTokenId: whole(text, "sep_token_id", 102),
    padTokenId: whole(text, "pad_token_id", 0),
  };
}

/** How many tokens the vision model makes of one picture: its patches and the class token. */
export function imageTokensOf(config: BlipConfig): number {
  return Math.floor(config.imageSize / config.patchSize) ** 2 + 1;
}
