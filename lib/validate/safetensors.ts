import { readFile } from "node:fs/promises";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject } from "../json-file.js";
import { type Dtype, Tensor, type TensorData } from "../tensor.js";

/** What a .safetensors file holds. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format's names of dtypes, with the arrays of their elements. */
const DTYPES = {
  F64: ["float64", Float64Array],
  F32: ["float32", Float32Array],
  F16: ["float16", Uint16Array],
  BF16: ["bfloat16", Uint16Array],
  I64: ["int64", BigInt64Array],
  I32: ["int32", Int32Array],
  I16: ["int16", Int16Array],
  I8: ["int8", Int8Array],
  U8: ["uint8", Uint8Array],
  BOOL: ["bool", Uint8Array],
} as const satisfies Record<string, readonly [Dtype, unknown]>;

/**
 * Reads a .safetensors file whole: the length of a JSON header, the header, then the tensors' bytes. The caller disposes of
 * the tensors.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` where it is not such a file.
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const file = await readFile(path).catch((cause) => {
    const missing = codeOf(cause) === "ENOENT";
    throw new NeuronBlipError(
      missing ? "ARTIFACT_NOT_FOUND" : "ARTIFACT_CORRUPT",
      missing ? `There is no file "${path}".` : `"${path}" cannot be read: ${messageOf(cause)}.`,
      { cause },
    );
  });
  const { header, bytes } = split(path, file);
  const tensors = new Map<string, Tensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.set(name, tensorOf(path, name, entry, bytes));
  }
  return { tensors, metadata: metadataOf(header) };
}

function split(path: string, file: Buffer): { header: JsonObject; bytes: Buffer } {
  if (file.length < 8) throw corrupt(path, `it has ${file.length} bytes`);
  const length = file.readBigUInt64LE(0);
  if (length > file.length - 8) throw corrupt(path, `its header has ${length} bytes, and the file ${file.length}`);
  const end = 8 + Number(length);
  let header: unknown;
  try {
    header = JSON.parse(file.toString("utf8", 8, end));
  } catch (error) {
    throw corrupt(path, `its header is not JSON: ${messageOf(error)}`);
  }
  if (!isObject(header)) throw corrupt(path, "its header is no JSON object");
  return { header, bytes: file.subarray(end) };
}

function tensorOf(path: string, name: string, entry: unknown, bytes: Buffer): Tensor {
  const { dtype: code, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
  if (typeof code !== "string" || !Object.hasOwn(DTYPES, code)) {
    throw corrupt(path, `"${name}" is of dtype ${JSON.stringify(code)}, which is unknown`);
  }
  const [dtype, array] = DTYPES[code as keyof typeof DTYPES];
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw corrupt(path, `"${name}" lacks a shape or data_offsets`);
  }
  const [begin, end] = offsets as [number, number];
  const size = shape.reduce((product, length) => product * length, 1) * array.BYTES_PER_ELEMENT;
  if (begin > end || end > bytes.length || end - begin !== size) {
    throw corrupt(
      path,
      `"${name}", ${code} [${shape.join(", ")}], needs ${size} bytes, and has those from ${begin} to ${end} of ${bytes.length}`,
    );
  }
  // Copied out, because typed arrays must begin at a multiple of their element's size.
  const elements = new array(Uint8Array.from(bytes.subarray(begin, end)).buffer);
  return Tensor.from(elements as TensorData, shape, dtype);
}

function metadataOf(header: JsonObject): Record<string, string> {
  const given = isObject(header.__metadata__) ? header.__metadata__ : {};
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, String(value)]));
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function corrupt(path: string, how: string): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_CORRUPT",
    `"${path}" is not a safetensors file: ${how}. Copy it again, or compile the model again.`,
  );
}
