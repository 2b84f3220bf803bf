import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { NeuronBlipError } from "../errors.js";
import { isObject, readJsonIfThere } from "../json-file.js";
import type { Dtype } from "../tensor.js";

/** The version of `neuron_blip.json` that this package reads. */
const FORMAT_VERSION = 1;

/** The parts of a model, in the tutorial's order of loading. */
export const PARTS = ["vision_model", "text_decoder", "text_encoder"] as const;
export type PartName = (typeof PARTS)[number];

export interface TensorSpec {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface PartSpec {
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** What `neuron-blip compile` wrote about a model directory: `neuron_blip.json`. */
export interface Manifest {
  readonly format_version: number;
  readonly question_length: number;
  readonly answer_length: number;
  readonly batch_size: number;
  readonly image_size: number;
  readonly parts: Readonly<Record<PartName, PartSpec>>;
}

/**
 * Reads a directory's manifest; undefined where it has none, as a directory made by the tutorial.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for a format of a later version.
 */
export async function readManifest(directory: string): Promise<Manifest | undefined> {
  const path = join(directory, "neuron_blip.json");
  const json = await readJsonIfThere(path);
  if (json === undefined) return undefined;
  const manifest = json as unknown as Manifest;
  if (manifest.format_version !== FORMAT_VERSION) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${path}" has format version ${manifest.format_version}, and this neuron-blip reads version ${FORMAT_VERSION}. ` +
        "Compile the model again with this version, or install the one that wrote it.",
    );
  }
  const counts = [manifest.question_length, manifest.answer_length, manifest.batch_size, manifest.image_size];
  const whole =
    counts.every((count) => Number.isSafeInteger(count) && count > 0) &&
    isObject(manifest.parts) &&
    PARTS.every((name) => isPart(manifest.parts[name], name));
  if (!whole) {
    throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" lacks fields. Compile the model again.`);
  }
  const { batch_size: batch, question_length: question, answer_length: answer, image_size: size, parts } = manifest;
  checkShape(path, parts.vision_model, [batch, 3, size, size]);
  checkShape(path, parts.text_encoder, [batch, question]);
  checkShape(path, parts.text_decoder, [batch, answer]);
  return manifest;
}

function isPart(value: unknown, name: string): value is PartSpec {
  if (!isObject(value)) return false;
  const { file, size, sha256, inputs } = value;
  const [first]: unknown[] = Array.isArray(inputs) ? inputs : [];
  const known = file === `${name}.pt` && Number.isSafeInteger(size) && typeof sha256 === "string";
  return known && isObject(first) && Array.isArray(first.shape);
}

/** A part's first input must have the shape that the manifest's lengths say. */
function checkShape(path: string, part: PartSpec, expected: readonly number[]): void {
  const shape = part.inputs[0]?.shape;
  if (JSON.stringify(shape) === JSON.stringify(expected)) return;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" contradicts itself: ${part.file} takes [${shape?.join(", ")}], and its lengths say [${expected.join(", ")}]. ` +
      "Compile the model again.",
  );
}

/**
 * Compares a part's file with what the manifest says of it: its size, then its SHA-256.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_MISMATCH`.
 */
export async function verifyPart(directory: string, part: PartSpec): Promise<void> {
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
