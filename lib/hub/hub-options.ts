import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { revisionOf } from "../util/hub-name.js";
import { shown } from "../util/values.js";
import type { ProgressCallback } from "./hub-progress.js";

/** How a model of the Hugging Face Hub is fetched. A directory needs none of it. */
export interface HubOptions {
  /** A branch, a tag or a commit. Default "main". */
  revision?: string;
  /**
   * Called with how far the fetching is, in bytes and totals. Default: a bar on the standard error, where that is a terminal and
   * HF_HUB_DISABLE_PROGRESS_BARS is not set; false for none. It is not called for what the cache has.
   */
  progress?: ProgressCallback | false;
  /**
   * Asks the Hub whether a branch stands for another commit by now. Default false: what the cache has of it is used, and nobody
   * asked, so that a restart needs no network and gets the same model.
   */
  update?: boolean;
  /** Ends the fetching; what has come is kept, and the next call goes on from there. */
  signal?: AbortSignal;
}

export const HUB_OPTIONS: readonly (keyof HubOptions)[] = ["revision", "progress", "update", "signal"];

/** Checks the options. @throws NeuronBlipError `INVALID_INPUT` for values that are not what they must be. */
export function checkHubOptions({ revision, progress, update, signal }: HubOptions): void {
  revisionOf(revision);
  throwIfAborted(signal);
  if (progress !== undefined && progress !== false && typeof progress !== "function") {
    throw new NeuronBlipError("INVALID_INPUT", `progress must be a function, or false, not ${shown(progress)}.`);
  }
  if (update === undefined || typeof update === "boolean") return;
  throw new NeuronBlipError("INVALID_INPUT", `update must be true or false, not ${shown(update)}.`);
}

/** Separates the options for fetching from the others. */
export function splitHubOptions<Options extends HubOptions>(
  options: Options,
): [hub: HubOptions, others: Omit<Options, keyof HubOptions>] {
  const { revision, progress, update, signal, ...others } = options;
  const hub = {
    ...(revision !== undefined && { revision }),
    ...(progress !== undefined && { progress }),
    ...(update !== undefined && { update }),
    ...(signal !== undefined && { signal }),
  };
  return [hub, others];
}

/** Returns the options for another model that is fetched besides. */
export function withoutRevision({ revision: _, ...options }: HubOptions): HubOptions {
  return options;
}
