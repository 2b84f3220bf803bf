import { readdir } from "node:fs/promises";
import type { HubOptions } from "../hub/hub-options.js";
import { directoryOf } from "../hub/model-directory.js";
import { readBlipConfig } from "./blip-config.js";

/** The manifest, and the parts of every architecture. (A trainer writes .pt files, too, beside a checkpoint.) */
const COMPILED =
  /^(neuron_blip\.json|(vision_model|text_(encoder|decoder|projection)|image_(projection|text_matching))\w*\.pt)$/;

/**
 * Gives the directory of a whole model, as `directoryOf`. Of a model on the Hub, what is no BLIP is refused before its weights are
 * fetched.
 */
export function modelDirectoryOf(given: unknown, options: HubOptions = {}): Promise<string> {
  return directoryOf(given, options, "model", readBlipConfig);
}

/**
 * Tells whether a directory holds compiled parts, which then come before a checkpoint beside them: who compiled a model did it for
 * a reason, as its NeuronCores.
 */
export async function holdsCompiledParts(directory: string): Promise<boolean> {
  const names = await readdir(directory).catch((): string[] => []);
  return names.some((name) => COMPILED.test(name));
}
