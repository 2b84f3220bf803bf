import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { TextDecoder } from "node:util";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject } from "../util/json-file.js";
import { shorten, shown } from "../util/values.js";

/** The format's names of dtypes, with torch's and the bytes of an element. */
const DTYPES = {
  F64: ["float64", 8],
  F32: ["float32", 4],
  F16: ["float16", 2],
  BF16: ["bfloat16", 2],
  I64: ["int64", 8],
  I32: ["int32", 4],
  I16: ["int16", 2],
  I8: ["int8", 1],
  U8: ["uint8", 1],
  BOOL: ["bool", 1],
} as const;

/** The format has these as well; no model that this package runs does. */
const OTHER_DTYPES = new Set(
  "U16 U32 U64 C64 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ F6_E2M3 F6_E3M2 F4".split(" "),
);

export type SafetensorsDtype = (typeof DTYPES)[keyof typeof DTYPES][0];

/** Where a tensor lies in a .safetensors file. */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Of its first byte in the file, not only behind the header. It need not be a multiple of the element's size. */
  readonly offset: number;
  readonly byteLength: number;
}

/** What the header of a .safetensors file says. */
export interface SafetensorsHeader {
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * A longer header is taken for damage before memory is taken for it. The format allows 100 MB, which would hold the event loop for
 * a second while they are parsed; of the largest BLIP it is 0.2 MB.
 */
const LONGEST_HEADER = 4_000_000;
const LENGTH_BYTES = 8;
const LONGEST_PATH = 200;
const LFS = "version https://git-lfs";

/**
 * Reads the header of a .safetensors file: eight bytes of its length, then JSON. The rules are those of the format's own library:
 * the tensors lie one behind the other, without a hole or an overlap, up to the file's end.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` for what is no such file, or is damaged or cut anywhere;
 * `ARTIFACT_MISMATCH` for a dtype of the format that this package does not read.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const { header, start, size } = await readHeader(path);
  const tensors: [string, SafetensorsEntry][] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") tensors.push([name, entryOf(path, name, entry, start)]);
  }
  tensors.sort(([, a], [, b]) => a.offset - b.offset || a.byteLength - b.byteLength);
  let end = start;
  for (const [name, { offset, byteLength }] of tensors) {
    if (offset !== end) {
      throw corrupt(path, `${shown(name)} begins at byte ${offset}, and what is before it ends at ${end}`);
    }
    end += byteLength;
  }
  if (end !== size) throw corrupt(path, `it has ${size} bytes, and its header describes ${end}`);
  return { tensors: new Map(tensors), metadata: metadataOf(path, header) };
}

async function readHeader(path: string): Promise<{ header: JsonObject; start: number; size: number }> {
  let file: FileHandle;
  try {
    // Not waiting for a pipe's other end.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(cause) ?? "")) {
      throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `There is no file "${shorten(path, LONGEST_PATH)}".`, { cause });
    }
    throw corrupt(path, `it cannot be read: ${messageOf(cause)}`, cause);
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) throw corrupt(path, "it is not a file");
    const { size } = found;
    const head = await readAt(file, path, 0, Math.min(size, LFS.length));
    if (head.toString("latin1") === LFS) {
      throw corrupt(path, "it is a pointer of Git LFS, not the file itself (`git lfs pull` fetches that)");
    }
    if (size < LENGTH_BYTES) throw corrupt(path, `it has ${size} bytes`);
    const length = head.readBigUInt64LE(0);
    if (length > size - LENGTH_BYTES) {
      throw corrupt(path, `its header would have ${length} bytes, and the file has ${size}`);
    }
    if (length > LONGEST_HEADER) {
      throw corrupt(path, `it has a header of ${length} bytes, and ${LONGEST_HEADER} is the most that is read`);
    }
    const bytes = await readAt(file, path, LENGTH_BYTES, Number(length));
    return { header: parsed(path, bytes), start: LENGTH_BYTES + bytes.length, size };
  } catch (error) {
    throw error instanceof NeuronBlipError ? error : corrupt(path, `it cannot be read: ${messageOf(error)}`, error);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, path: string, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let read = 0; read < length; ) {
    const { bytesRead } = await file.read(buffer, read, length - read, position + read);
    if (bytesRead === 0) throw corrupt(path, "it became shorter while it was read");
    read += bytesRead;
  }
  return buffer;
}

function parsed(path: string, bytes: Buffer): JsonObject {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw corrupt(path, `its header is no JSON: ${shorten(messageOf(error), 200)}`, error);
  }
  if (!isObject(header)) throw corrupt(path, "its header is no JSON object");
  return header;
}

/** Checks a header's entry. @param start where the tensors' bytes begin in the file. */
function entryOf(path: string, name: string, entry: unknown, start: number): SafetensorsEntry {
  const { dtype: code, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
  if (typeof code === "string" && OTHER_DTYPES.has(code)) {
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `"${shorten(path, LONGEST_PATH)}" cannot be used: its tensor ${shown(name)} is of dtype ${code}. Save it as F32, F16 or BF16.`,
    );
  }
  if (typeof code !== "string" || !isDtypeCode(code)) {
    throw corrupt(path, `${shown(name)} is of dtype ${shown(code)}, which the format does not have`);
  }
  if (!isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw corrupt(path, `${shown(name)} has no shape and data_offsets of whole numbers`);
  }
  const [dtype, itemSize] = DTYPES[code];
  const [begin = 0, end = 0] = offsets;
  // NaN, which equals nothing, from where a number is no longer exact: a zero may follow.
  const times = (product: number, length: number) =>
    Number.isSafeInteger(product * length) ? product * length : Number.NaN;
  const byteLength = shape.reduce(times, itemSize);
  if (end - begin !== byteLength || !Number.isSafeInteger(start + end)) {
    throw corrupt(
      path,
      `${shown(name)}, ${code} ${shown(shape)}, takes ${byteLength} bytes, and has those from ${begin} to ${end}`,
    );
  }
  return { dtype, shape, offset: start + begin, byteLength };
}

function metadataOf(path: string, header: JsonObject): Record<string, string> {
  const given = header.__metadata__ ?? {};
  if (!isObject(given)) throw corrupt(path, "its __metadata__ is no JSON object");
  return Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      if (typeof value !== "string")
        throw corrupt(path, `its __metadata__ has ${shown(value)} where a string should be`);
      return [key, value];
    }),
  );
}

function isDtypeCode(code: string): code is keyof typeof DTYPES {
  return Object.hasOwn(DTYPES, code);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

function corrupt(path: string, how: string, cause?: unknown): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_CORRUPT",
    `"${shorten(path, LONGEST_PATH)}" is no whole safetensors file: ${how}. Download or copy it again.`,
    { cause },
  );
}
