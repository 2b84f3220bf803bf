import { readFile } from "node:fs/promises";
import { messageOf, NeuronBlipError } from "./errors.js";

export type JsonObject = { readonly [key: string]: unknown };

/**
 * A JSON file's object, or undefined where there is no such file.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT` for a file that is no JSON object.
 */
export async function readJsonIfThere(path: string): Promise<JsonObject | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch (error) {
    throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" is not valid JSON: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  throw new NeuronBlipError("ARTIFACT_CORRUPT", `"${path}" holds no JSON object.`);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
