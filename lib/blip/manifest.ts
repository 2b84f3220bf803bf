import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { NeuronBlipError } from "../errors.js";
import type { Dtype } from "../tensor.js";
import { readJsonIfThere } from "./json-file.js";

/** The version of `neuron_blip.json` that this package reads. */
const FORMAT_VERSION = 1;

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
  readonly target: "cpu" | "inf2";
  readonly architecture: string;
  readonly question_length: number;
  readonly answer_length: number;
  readonly batch_size: number;
  readonly image_size: number;
  readonly parts: Readonly<Record<string, PartSpec>>;
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
  const parts = typeof manifest.parts === "object" && manifest.parts !== null ? Object.values(manifest.parts) : [];
  const whole =
    counts.every((count) => Number.isSafeInteger(count) && count > 0) &&
    parts.length > 0 &&
    parts.every((part) => typeof part.file === "string" && typeof part.sha256 === "string");
  if (!whole) {
    throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" lacks fields. Compile the model again.`);
  }
  return manifest;
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
