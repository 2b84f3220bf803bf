import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { TextDecoder } from "node:util";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";

export type JsonObject = { readonly [key: string]: unknown };

/** The largest of a model's text files, in bytes: several times the largest tokenizer.json. */
export const LARGEST_FILE = 2 ** 26;

/**
 * Reads a JSON file's object, or undefined where there is no such file.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT` for a file that is no JSON object, or that is larger than 64 MB.
 */
export async function readJsonIfThere(path: string): Promise<JsonObject | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" is not valid JSON: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  if (isObject(value)) return value;
  throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" holds no JSON object.`);
}

/**
 * Reads a text file's text, or undefined where there is no such file.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT` for what is no file, no UTF-8, or larger than 64 MB.
 */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  let file: FileHandle;
  try {
    // Not waiting for a pipe's other end.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw unreadable(path, messageOf(error), error);
  }
  let bytes: Buffer;
  try {
    const found = await file.stat();
    if (!found.isFile()) throw unreadable(path, "it is not a file");
    if (found.size > LARGEST_FILE) {
      throw unreadable(path, `it has ${found.size} bytes, and such a file has at most ${LARGEST_FILE}`);
    }
    bytes = await file.readFile();
  } catch (error) {
    throw error instanceof NeuronBlipError ? error : unreadable(path, messageOf(error), error);
  } finally {
    await file.close();
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes); // without a byte order mark
  } catch (error) {
    throw unreadable(path, "it is not UTF-8 text. Save it as that", error);
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unreadable(path: string, why: string, cause?: unknown): NeuronBlipError {
  return new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" cannot be read: ${why}.`, { cause });
}
