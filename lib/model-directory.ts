import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { adviceFor, isCheckpoint } from "./advice.js";
import { codeOf, messageOf, NeuronBlipError } from "./errors.js";
import { isUrl, shown, type UrlLike } from "./values.js";

/** Where a model is: a path, or a `file:` URL. */
export type ModelDirectory = string | UrlLike;

/**
 * The path that a caller gave.
 * @param what it is, for the error.
 * @throws NeuronBlipError `INVALID_INPUT` for anything but a path or a `file:` URL.
 */
export function pathOf(given: unknown, what = "a model directory"): string {
  try {
    if (isUrl(given)) return fileURLToPath(given.href);
    if (typeof given === "string" && /^file:\/\//i.test(given)) return fileURLToPath(given);
  } catch (cause) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${shown(String(given))} is no path of this host: ${messageOf(cause)}.`,
      {
        cause,
      },
    );
  }
  if (typeof given === "string" && given !== "" && !given.includes("\0")) return given;
  throw new NeuronBlipError("INVALID_INPUT", `Give ${what} as a path or a file: URL, not ${shown(given)}.`);
}

/**
 * The path of a directory that is there.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no path; `ARTIFACT_NOT_FOUND` where there is no such directory.
 */
export async function directoryOf(given: unknown): Promise<string> {
  const directory = pathOf(given);
  const found = await stat(directory).catch(async (cause) => {
    const missing = codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR";
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      missing
        ? `There is no model directory ${shown(directory)}. ${await adviceFor(directory)}`
        : `The model directory ${shown(directory)} cannot be read: ${messageOf(cause).slice(0, 300)}.`,
      { cause },
    );
  });
  if (found.isDirectory()) return directory;
  throw new NeuronBlipError(
    "ARTIFACT_NOT_FOUND",
    `${shown(directory)} is not a directory. ${await adviceFor(directory)}`,
  );
}

/**
 * The path of a compiled model's directory.
 * @throws NeuronBlipError as `directoryOf`; `ARTIFACT_NOT_FOUND` for a model that is not compiled.
 */
export async function modelDirectoryOf(given: unknown): Promise<string> {
  const directory = await directoryOf(given);
  if (await isCheckpoint(directory)) {
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      `${shown(directory)} is not compiled. ${await adviceFor(directory)}`,
    );
  }
  return directory;
}
