import { readdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { adviceFor } from "./advice.js";
import { readBlipConfig } from "./blip/blip-config.js";
import { codeOf, messageOf, NeuronBlipError } from "./errors.js";
import { downloadModel } from "./hub/download-model.js";
import { isHubName } from "./hub/hub-name.js";
import { checkHubOptions, type HubOptions } from "./hub/hub-options.js";
import type { Purpose } from "./hub/wanted-files.js";
import { isUrl, shown, type UrlLike } from "./values.js";

/** The manifest, and the parts of every architecture. (A trainer writes .pt files, too, beside a checkpoint.) */
const COMPILED =
  /^(neuron_blip\.json|(vision_model|text_(encoder|decoder|projection)|image_(projection|text_matching))\w*\.pt)$/;

/**
 * Where a model is: a directory's path or `file:` URL; or, where there is no such directory, its name on the Hugging Face Hub,
 * such as "Salesforce/blip-vqa-base".
 */
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
 * The path of a directory that is there; or of the files of a model of the Hub, which are fetched where the cache lacks them.
 * @param purpose what the files are for: which of a model on the Hub are fetched.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no path; `ARTIFACT_NOT_FOUND` where there is no such directory; for a name of
 * the Hub as `downloadModel`.
 */
export async function directoryOf(
  given: unknown,
  options: HubOptions = {},
  purpose: Purpose = "processor",
): Promise<string> {
  const path = pathOf(given);
  checkHubOptions(options);
  const found = await stat(path).catch(async (cause) => {
    if (codeOf(cause) === "ENOENT" && path === given && isHubName(path)) return undefined;
    const missing = codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR";
    throw new NeuronBlipError(
      "ARTIFACT_NOT_FOUND",
      missing
        ? `There is no model directory ${shown(path)}. ${await adviceFor(path)}`
        : `The model directory ${shown(path)} cannot be read: ${messageOf(cause).slice(0, 300)}.`,
      { cause },
    );
  });
  if (!found) return downloadModel(path, { ...options, purpose, ...(purpose === "model" && { checkConfig }) });
  if (!found.isDirectory()) {
    throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `${shown(path)} is not a directory. ${await adviceFor(path)}`);
  }
  if (options.revision === undefined) return path;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `revision is of a model on the Hugging Face Hub, and ${shown(path)} is a directory here. Leave it out, or give its name from elsewhere.`,
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

/** What is no BLIP is refused before its weights are fetched. */
function checkConfig(directory: string): Promise<unknown> {
  return readBlipConfig(directory);
}
