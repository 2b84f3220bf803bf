/** Which files of a model are needed: text and safetensors alone, as a .pt or .bin file is a program of whoever wrote it. */
import { NeuronBlipError } from "../errors.js";
import { isObject, readJsonIfThere } from "../util/json-file.js";
import { oneLine, shown } from "../util/values.js";

/** What the model's files are for: a whole model, or the reading of pictures and texts alone. */
export type Purpose = "model" | "processor";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const INDEX = "model.safetensors.index.json";

const TOKENIZER = "tokenizer.json";
/** Needed only where there is no tokenizer.json. */
const VOCABULARY = "vocab.txt";
const TEXTS: Readonly<Record<Purpose, readonly string[]>> = {
  model: [CONFIG, "generation_config.json"],
  processor: [CONFIG],
};
const PROCESSOR = [
  "preprocessor_config.json",
  "processor_config.json",
  TOKENIZER,
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  VOCABULARY,
];
const SHARD = /^[A-Za-z0-9][\w.-]*\.safetensors$/;
const MOST_SHARDS = 1000;

/** Lists all files that may be needed, without the shards, which the index names. */
export function candidatesFor(purpose: Purpose): readonly string[] {
  return [...TEXTS[purpose], ...PROCESSOR, ...(purpose === "model" ? [WEIGHTS, INDEX] : [])];
}

/** Lists those of a model's files that are needed, without the shards. */
export function wantedOf(purpose: Purpose, has: (path: string) => boolean): string[] {
  return candidatesFor(purpose).filter(
    (path) => has(path) && !(path === VOCABULARY && has(TOKENIZER)) && !(path === INDEX && has(WEIGHTS)),
  );
}

/**
 * Reads the shards that an index names.
 * @param path of the index.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`
 */
export async function shardsOf(path: string): Promise<string[]> {
  const { weight_map: map } = (await readJsonIfThere(path)) ?? {};
  const shards = [...new Set(isObject(map) ? Object.values(map) : [])];
  const isShard = (name: unknown): name is string => typeof name === "string" && SHARD.test(name);
  if (shards.length > 0 && shards.length <= MOST_SHARDS && shards.every(isShard)) return shards;
  const wrong = shards.find((name) => !isShard(name));
  throw new NeuronBlipError(
    "ARTIFACT_CORRUPT",
    `"${path}" does not say which files hold the weights: ` +
      `${wrong === undefined ? `its weight_map names ${shards.length} files` : `${shown(wrong)} is no .safetensors file beside it`}.`,
  );
}

/**
 * Makes the error for a model whose weights are in no file that is fetched.
 * @param paths what the model has.
 */
export function noWeights(model: string, paths: readonly string[], page: string): NeuronBlipError {
  const programs = paths.filter((path) => /\.(bin|pt|pth|ckpt|pkl)$/.test(path));
  const parts = programs.filter((path) => path.endsWith(".pt"));
  const named = programs.slice(0, 2).map((path) => oneLine(path, 80));
  const what = `The model ${shown(model)} has no ${WEIGHTS}, from which weights are read`;
  if (parts.length > 0) {
    return new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `${what}. A TorchScript file such as its ${named[0]} is a program of whoever wrote it, and none is fetched. If you trust ` +
        "its author, fetch it yourself, as with `hf download`, and give the directory.",
    );
  }
  if (programs.length > 0) {
    return new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `${what}; ${named.join(" and ")} can hold a program as well as weights, and no such file is fetched. Convert it, where you trust its ` +
        `author, in Python: \`from transformers import AutoConfig; import transformers; name = "${model}"; ` +
        "getattr(transformers, AutoConfig.from_pretrained(name).architectures[0]).from_pretrained(name).save_pretrained(DIR)`; " +
        `copy the .json and .txt files of ${page}/tree/main there too, and give DIR.`,
    );
  }
  return new NeuronBlipError(
    "ARTIFACT_NOT_FOUND",
    `${what}. ${paths.length > 0 ? `It has ${oneLine(paths.slice(0, 5).join(", "), 200)}${paths.length > 5 ? " and more" : ""}. ` : ""}` +
      "Give a BLIP such as Salesforce/blip-vqa-base.",
  );
}
