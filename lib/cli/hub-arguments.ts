/** What the commands that take a MODEL say of the Hugging Face Hub. */
import { stat } from "node:fs/promises";
import { messageOf } from "../errors.js";
import type { HubOptions } from "../hub/hub-options.js";
import type { DownloadProgress } from "../hub/hub-progress.js";
import { showsProgress } from "../hub/hub-settings.js";
import { inBytes } from "../hub/progress-bar.js";
import { revisionOf } from "../util/hub-name.js";
import { say } from "./output.js";
import { count, defined, UsageError } from "./usage.js";

/** The options, for `parse`. */
export const HUB_ARGUMENTS = { revision: "string", update: "boolean" } as const;

/**
 * Says what MODEL may be besides a directory, for the helps.
 * @param indent of the column of explanations.
 */
export function orHubName(indent: number, example = "Salesforce/blip-vqa-base"): string {
  const space = " ".repeat(indent);
  return (
    `${space}or, where there is no such directory, a name on the Hugging Face Hub, such as\n` +
    `${space}${example}, which is fetched into the Hugging Face cache once`
  );
}

/** Returns the lines of a command's help on the Hub's options. @param width of the column of options. */
export function hubHelp(width: number): string {
  const lines = [
    ["--revision REV", "of a model on the Hub: a branch, tag or commit (default main)"],
    ["--update", "of a model on the Hub: ask whether there is a newer one (default: what the cache has is used)"],
  ] as const;
  return lines.map(([option, what]) => `  ${option.padEnd(width)}${what}`).join("\n");
}

/**
 * Makes the options for loading a model. On a terminal there is a bar; elsewhere a line says what is fetched.
 * @throws UsageError
 */
export function hubOptions(values: { revision?: string; update?: boolean }): HubOptions {
  try {
    revisionOf(values.revision);
  } catch (error) {
    throw new UsageError(`--${messageOf(error)}`);
  }
  return { ...defined<HubOptions>({ revision: values.revision, update: values.update }), ...lineOfProgress() };
}

/** Makes the options as `hubOptions`, and adds how large a picture may be. @throws UsageError */
export function loadingOptions(values: { revision?: string; update?: boolean; "max-pixels"?: string }) {
  const maxPixels = count("max-pixels", values["max-pixels"]);
  return { ...hubOptions(values), ...(maxPixels !== undefined && { maxPixels }) };
}

/** Tells whether an argument names something of this host, which wins over a name on the Hub. */
export function isLocal(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Makes the progress report for where there is no terminal. */
export function lineOfProgress(): Pick<HubOptions, "progress"> {
  if (process.stderr.isTTY || !showsProgress()) return {};
  const told = new Set<string>();
  const progress = ({ model, total }: DownloadProgress) => {
    if (told.has(model)) return;
    told.add(model);
    say(`neuron-blip: fetching ${model}, ${inBytes(total)}, into the Hugging Face cache`);
  };
  return { progress };
}
