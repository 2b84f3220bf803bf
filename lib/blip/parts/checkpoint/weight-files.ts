/** The files of a checkpoint's weights, as transformers' save_pretrained writes them. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError } from "../../../errors.js";
import { readSafetensorsHeader } from "../../../hub/safetensors.js";
import { isObject, readJsonIfThere } from "../../../util/json-file.js";
import { shown } from "../../../util/values.js";
import type { Architecture } from "../../heads.js";
import { type CheckpointConfig, readCheckpointConfig } from "./checkpoint-config.js";
import { expectedWeights, findWeights, type StoredTensor } from "./weights.js";

const ONE_FILE = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const PICKLED = /^pytorch_model([-.].*)?\.bin(\.index\.json)?$/;
/** A shard's name, which names no other directory. */
const SHARD = /^[\w.-]{1,200}\.safetensors$/;
const MOST_SHARDS = 1000;

/**
 * Finds where a checkpoint's weights are, each of the shape that its config.json says.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`.
 */
export async function readWeights(
  directory: string,
  architecture: Architecture,
): Promise<{ config: CheckpointConfig; weights: ReadonlyMap<string, StoredTensor> }> {
  const config = await readCheckpointConfig(directory);
  const stored = await readStoredTensors(directory);
  const expected = expectedWeights(architecture, config);
  return { config, weights: findWeights(directory, expected, stored, config.text.tieWordEmbeddings) };
}

/**
 * Reads what the files of a checkpoint hold, by the weights' names.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND` where there are no such files, or not all; `ARTIFACT_CORRUPT`.
 */
async function readStoredTensors(directory: string): Promise<Map<string, StoredTensor>> {
  const stored = new Map<string, StoredTensor>();
  for (const name of await weightFilesOf(directory)) {
    const file = join(directory, name);
    const { tensors } = await readSafetensorsHeader(file);
    for (const [tensor, { dtype, shape, offset }] of tensors) {
      if (stored.has(tensor)) {
        const where = `"${stored.get(tensor)?.file}" and in "${file}"`;
        throw new NeuronBlipError("ARTIFACT_CORRUPT", `${shown(tensor)} is in ${where}. Fetch the model again.`);
      }
      stored.set(tensor, { file, dtype, shape, offset });
    }
  }
  return stored;
}

/**
 * Lists the names of a checkpoint's files of weights.
 * @throws NeuronBlipError as `readStoredTensors`.
 */
export async function weightFilesOf(directory: string): Promise<string[]> {
  if (await isThere(join(directory, ONE_FILE))) return [ONE_FILE];
  const path = join(directory, INDEX);
  const index = await readJsonIfThere(path);
  if (index === undefined) throw await noWeights(directory);
  const { weight_map: map } = index;
  const shards = isObject(map) ? [...new Set(Object.values(map))] : [];
  const areNames = shards.every((name): name is string => typeof name === "string" && SHARD.test(name));
  if (!areNames || shards.length === 0 || shards.length > MOST_SHARDS) {
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}": weight_map must name the file of each weight, 1 to ${MOST_SHARDS} .safetensors files beside it.`,
    );
  }
  const missing: string[] = [];
  for (const name of shards) if (!(await isThere(join(directory, name)))) missing.push(name);
  if (missing.length === 0) return shards.sort();
  throw new NeuronBlipError(
    "ARTIFACT_NOT_FOUND",
    `"${directory}" lacks ${missing.length} of the ${shards.length} files that ${INDEX} names, such as "${missing[0]}". Fetch them, too.`,
  );
}

async function noWeights(directory: string): Promise<NeuronBlipError> {
  const names = await readdir(directory).catch((): string[] => []);
  const pickled = names.find((name) => PICKLED.test(name));
  return new NeuronBlipError(
    "ARTIFACT_NOT_FOUND",
    pickled === undefined
      ? `There is no ${ONE_FILE} in "${directory}", nor ${INDEX}: it holds no checkpoint.`
      : `"${directory}" has its weights as ${pickled}, a Python pickle, which can be any program. Convert it where you trust it, with ` +
          "transformers: `python -c \"from transformers import AutoConfig; import transformers; d = '.'; " +
          'getattr(transformers, AutoConfig.from_pretrained(d).architectures[0]).from_pretrained(d).save_pretrained(d)"` in that ' +
          `directory writes ${ONE_FILE}.`,
  );
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}
