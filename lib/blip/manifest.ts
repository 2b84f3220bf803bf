import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { NeuronBlipError } from "../errors.js";
import type { Dtype } from "../torch/tensor.js";
import { isObject, readJsonIfThere } from "../util/json-file.js";
import { isWhole, shown } from "../util/values.js";
import { type Architecture, HEADS, isArchitecture, type PartName } from "./heads.js";

/** The version of `neuron_blip.json` that this package reads. */
const FORMAT_VERSION = 1;

export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** A file of the directory, to compare it with. */
export interface FileSpec {
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
}

export interface PartSpec extends FileSpec {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** What `neuron-blip compile` wrote about a model directory: `neuron_blip.json`. */
export interface Manifest {
  readonly format_version: number;
  readonly architecture: Architecture;
  /** What the parts were compiled for. */
  readonly target?: "cpu" | "inf2";
  /** Tokens of a question, or of a text to match; null for captions. */
  readonly question_length: number | null;
  /** Tokens of an answer or a caption; null for matching. */
  readonly answer_length: number | null;
  readonly batch_size: number;
  /** Every batch size, increasing, where there are several: the first is batch_size, the others' parts are named by `partKey`. */
  readonly batch_sizes?: readonly number[];
  readonly image_size: number;
  /** Those that this version knows, in the order of loading: an earlier one made others, too. */
  readonly parts: Readonly<Record<string, PartSpec>>;
  /** How parts for Neuron load: `compile`'s options of these names. */
  readonly neuron_options?: { readonly async_load?: boolean; readonly lazy_load?: boolean } | null;
  /** What was recorded when compiling: reference.safetensors. */
  readonly reference?: FileSpec;
  /** What compiled it: torch, transformers, python, torch_neuronx, neuronx_cc, neuron_sdk and neuron_runtime. */
  readonly versions?: Readonly<Record<string, string | null>>;
  /** Of the Neuron compiler. */
  readonly compiler_args?: readonly string[];
  /** The checkpoint that it was compiled from. */
  readonly source?: { readonly model?: string };
  /** What earlier versions made for the CPU besides; it is passed over. */
  readonly cpu_parts?: unknown;
}

/** The most rows of a batch: more than any part is compiled for, since each row is worked on whether it is there or not. */
const LARGEST_BATCH = 1024;

/** Returns the batch sizes of a directory, increasing: 1 for one without a manifest, as the tutorial's. */
export function batchSizesOf(manifest: Manifest | undefined): readonly number[] {
  return manifest ? (manifest.batch_sizes ?? [manifest.batch_size]) : [1];
}

/** Returns the manifest's name of a part for a batch size: the part's own for the first. */
export function partKey(part: PartName, batchSize: number, manifest: Manifest | undefined): string {
  return manifest === undefined || batchSize === manifest.batch_size ? part : `${part}_batch_${batchSize}`;
}

/**
 * Reads a directory's manifest; undefined where it has none, as a directory made by the tutorial.
 * @param architecture what config.json says the model is, where that is known.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for a format of a later version, or another architecture.
 */
export async function readManifest(directory: string, architecture?: Architecture): Promise<Manifest | undefined> {
  const path = join(directory, "neuron_blip.json");
  const json = await readJsonIfThere(path);
  if (json === undefined) return undefined;
  const manifest = json as unknown as Manifest;
  if (manifest.format_version !== FORMAT_VERSION) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${path}" has format version ${shown(manifest.format_version)}, and this neuron-blip reads version ${FORMAT_VERSION}. ` +
        "Compile the model again with this version, or install the one that wrote it.",
    );
  }
  const { batch_size: batch, question_length: question, answer_length: answer, image_size: size, parts } = manifest;
  const head = isArchitecture(manifest.architecture) ? manifest.architecture : "BlipForQuestionAnswering";
  const { parts: required, optionalParts } = HEADS[head];
  const there = isObject(parts) ? optionalParts.filter((name) => parts[name] !== undefined) : [];
  const named = [...required, ...there];
  const sizes = batchSizesOf(manifest);
  const keysOf = (name: PartName) => sizes.map((size) => partKey(name, size, manifest));
  const whole =
    isArchitecture(manifest.architecture) &&
    [batch, size].every(isCount) &&
    (question === null || isCount(question)) &&
    (answer === null || isCount(answer)) &&
    isObject(parts) &&
    isIncreasing(sizes) &&
    sizes[0] === batch &&
    isMade(manifest) &&
    named.flatMap(keysOf).every((key) => isPart(parts[key], key));
  if (!whole) {
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${path}" lacks fields, or has some that none can be (batches have up to ${LARGEST_BATCH} rows). Compile the model again.`,
    );
  }
  if (architecture !== undefined && manifest.architecture !== architecture) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${path}" is of a ${manifest.architecture}, and config.json of a ${architecture}. Compile the model again.`,
    );
  }
  for (const name of named) {
    if (name === "image_projection") continue; // takes what the vision model gives
    for (const rows of sizes) {
      const length = READS_ANSWERS.has(name) ? answer : question;
      const shape = name === "vision_model" ? [rows, 3, size, size] : [rows, length];
      checkShape(path, parts[partKey(name, rows, manifest)] as PartSpec, shape);
    }
  }
  return { ...manifest, parts: Object.fromEntries(named.flatMap(keysOf).map((key) => [key, parts[key] as PartSpec])) };
}

/** The parts whose first input is an answer; the others' is a question or another text. */
const READS_ANSWERS: ReadonlySet<PartName> = new Set(["text_decoder", "text_decoder_all_positions"]);

function isIncreasing(sizes: unknown): boolean {
  if (!Array.isArray(sizes) || sizes.length === 0) return false;
  return sizes.every((size, i) => isCount(size) && (i === 0 || size > sizes[i - 1])) && sizes.at(-1) <= LARGEST_BATCH;
}

function isCount(value: unknown): value is number {
  return isWhole(value, 1);
}

/** Tells whether what it says of its making is what compiling writes; each of it may be missing. */
function isMade({
  reference,
  versions,
  compiler_args: args,
  source,
}: Partial<Record<keyof Manifest, unknown>>): boolean {
  const isVersion = (version: unknown) => version === null || typeof version === "string";
  return (
    (reference === undefined || isFile(reference, "reference.safetensors")) &&
    (versions === undefined || (isObject(versions) && Object.values(versions).every(isVersion))) &&
    (args === undefined || (Array.isArray(args) && args.every((arg) => typeof arg === "string"))) &&
    (source === undefined || (isObject(source) && (source.model === undefined || typeof source.model === "string")))
  );
}

function isFile(value: unknown, name: string): value is FileSpec {
  if (!isObject(value)) return false;
  return value.file === name && Number.isSafeInteger(value.size) && typeof value.sha256 === "string";
}

function isPart(value: unknown, name: string): value is PartSpec {
  if (!isObject(value) || !isFile(value, `${name}.pt`)) return false;
  const { inputs, outputs = [] } = value;
  const areTensors = [inputs, outputs].every((tensors) => Array.isArray(tensors) && tensors.every(isTensorSpec));
  return areTensors && Array.isArray(inputs) && inputs.length > 0;
}

function isTensorSpec(value: unknown): boolean {
  if (!isObject(value) || typeof value.name !== "string" || !Array.isArray(value.shape)) return false;
  return value.shape.every((length) => Number.isSafeInteger(length) && length >= -1);
}

/** Checks that a part's first input has the shape that the manifest's lengths say. */
function checkShape(path: string, part: PartSpec, expected: readonly (number | null)[]): void {
  const shape = part.inputs[0]?.shape;
  if (JSON.stringify(shape) === JSON.stringify(expected)) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" contradicts itself: ${part.file} takes [${shape?.join(", ")}], and its lengths say [${expected.join(", ")}]. ` +
      "Compile the model again.",
  );
}

/**
 * Compares a file with what the manifest says of it: its size, then its SHA-256.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_MISMATCH`.
 */
export async function verifyFile(directory: string, part: FileSpec): Promise<void> {
  const path = join(directory, part.file);
  const found = await stat(path).catch((cause) => {
    throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `There is no file "${path}", which the manifest names.`, { cause });
  });
  if (found.size !== part.size) {
    throw mismatch(path, `it has ${found.size} bytes, and the manifest says ${part.size}`);
  }
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  const digest = hash.digest("hex");
  if (digest !== part.sha256) {
    throw mismatch(path, `its SHA-256 is ${digest}, and the manifest says ${part.sha256}`);
  }
}

function mismatch(path: string, how: string): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" is not the file that neuron_blip.json describes: ${how}. Copy the directory again, or compile the model again.`,
  );
}
