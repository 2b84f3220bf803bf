import { fileURLToPath } from "node:url";
import { messageOf, NeuronBlipError } from "../errors.js";
import { isUrl, shown, type UrlLike } from "./values.js";

/**
 * Where a model is: a directory's path or `file:` URL; or, where there is no such directory, its name on the Hugging Face Hub,
 * such as "Salesforce/blip-vqa-base".
 */
export type ModelDirectory = string | UrlLike;

/**
 * Returns the path that a caller gave.
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
