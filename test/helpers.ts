import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NeuronBlipError, type NeuronBlipErrorCode, Tensor, type TorchOutput } from "neuron-blip";
import { native } from "../dist/torch/native.js";

/** A file or folder of test/fixtures. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
}

/** Matches an error of this package with a code, and a message that says what it must. */
export function fails(code: NeuronBlipErrorCode, message: RegExp = /./) {
  return (error: unknown) => {
    assert(error instanceof NeuronBlipError, `not a NeuronBlipError: ${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** Whether the addon was built with this version of libtorch or a later one. */
export function hasLibtorch(major: number, minor: number): boolean {
  const [ours = 0, oursMinor = 0] = native().libtorchVersion.split(".").map(Number);
  return ours > major || (ours === major && oursMinor >= minor);
}

/**
 * Checks that two results are equal, numbers to 1e-5 of their size: a build of libtorch may round a row otherwise
 * where it is in a batch (Debian's, with OpenBLAS, does; the pinned one does not).
 */
export function assertAlike(actual: unknown, expected: unknown): void {
  assert.deepEqual(roundedAs(actual, expected), expected);
}

/** A copy whose numbers are those of `expected` where they are near them. */
function roundedAs(actual: unknown, expected: unknown): unknown {
  if (typeof actual === "number" && typeof expected === "number") {
    return Math.abs(actual - expected) <= 1e-5 * Math.max(1, Math.abs(expected)) ? expected : actual;
  }
  if (Array.isArray(actual) && Array.isArray(expected)) return actual.map((item, i) => roundedAs(item, expected[i]));
  if (!isPlain(actual) || !isPlain(expected)) return actual;
  return Object.fromEntries(Object.entries(actual).map(([key, value]) => [key, roundedAs(value, expected[key])]));
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function asTensor(output: TorchOutput | undefined): Tensor {
  assert(output instanceof Tensor, `not a tensor: ${output}`);
  return output;
}

/** The bundled demo: its directory, its model, and what is asked of it. */
export const demo = fileURLToPath(new URL("../demo", import.meta.url));
/** A checkpoint. */
export const demoModel = join(demo, "model");
/** The same model, compiled for the CPU. */
export const compiledModel = fixture("compiled");
export const demoQuestions: { picture: string; question: string; answer: string }[] = JSON.parse(
  readFileSync(join(demo, "questions.json"), "utf8"),
);
