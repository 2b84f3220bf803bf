import { readdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { adviceFor } from "./advice.js";
import { codeOf, messageOf, NeuronBlipError } from "./errors.js";
import { isUrl, shown, type UrlLike } from "./values.js";

/** The manifest, and the parts of every architecture. (A trainer writes .pt files, too, beside a checkpoint.) */
const COMPILED =
  /^(neuron_blip\.json|(vision_model|text_(encoder|decoder|projection)|image_(projection|text_matching))\w*\.pt)$/;

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
 * Whether a directory holds compiled parts, which then come before a checkpoint beside them: who compiled a model did it for a reason,
 * as its NeuronCores.
 */
export async function holdsCompiledParts(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch((): string[] => []);
  return names.some((name) => COMPILED.test(name));
}
