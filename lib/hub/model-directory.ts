import { stat } from "node:fs/promises";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import { adviceFor } from "../util/advice.js";
import { isHubName } from "../util/hub-name.js";
import { pathOf } from "../util/model-path.js";
import { shown } from "../util/values.js";
import { downloadModel } from "./download-model.js";
import { checkHubOptions, type HubOptions } from "./hub-options.js";
import type { Purpose } from "./wanted-files.js";

/**
 * Returns the path of a directory that is there; or of a model of the Hub, whose files are fetched where the cache lacks them.
 * @param purpose what the files are for: which of a model on the Hub are fetched.
 * @param checkConfig looks at a fetched config.json before the weights are fetched, which takes long.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no path; `ARTIFACT_NOT_FOUND` where there is no such directory; for a name of
 * the Hub as `downloadModel`.
 */
export async function directoryOf(
  given: unknown,
  options: HubOptions = {},
  purpose: Purpose = "processor",
  checkConfig?: (directory: string) => Promise<unknown>,
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
  if (!found) return downloadModel(path, { ...options, purpose, ...(checkConfig && { checkConfig }) });
  if (!found.isDirectory()) {
    throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `${shown(path)} is not a directory. ${await adviceFor(path)}`);
  }
  if (options.revision === undefined) return path;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `revision is of a model on the Hugging Face Hub, and ${shown(path)} is a directory here. Leave it out, or give its name from elsewhere.`,
  );
}
