/** Tells how much memory compiling takes, for whoever has run out of it. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { findCached } from "../hub/download-model.js";
import { Host } from "../tools/report/host.js";
import { inBytes } from "../tools/report/words.js";
import { isHubName } from "../util/hub-name.js";

/**
 * How often the weights are in memory at once while parts are traced and checked for the CPU, and Python with torch by itself: with
 * weights of 0.6 GB it took 2.2 GB.
 */
const TIMES_WEIGHTS = 3;
const PYTHON_BYTES = 1e9;

/**
 * Says how much is needed and how much is there, in sentences.
 * @param args the command's: the first that is a directory, or a name in the Hugging Face cache, is the model.
 */
export async function memoryAdvice(args: readonly string[]): Promise<string> {
  let weights = 0;
  for (const model of args.filter((arg) => !arg.startsWith("-"))) {
    weights ||= await weightsOf(model);
  }
  const { available, total } = await new Host().memory();
  const has = `This host has ${inBytes(total)} in all, ${inBytes(available)} of them free`;
  const needs =
    weights === 0
      ? `Compiling takes about ${TIMES_WEIGHTS} times the size of the model's weights, and 1 GB`
      : `Compiling this model, whose weights take ${inBytes(weights)}, needs about ` +
        `${inBytes(weights * TIMES_WEIGHTS + PYTHON_BYTES)}`;
  const more = args.some((arg) => arg.includes("inf2")) ? ", and the Neuron compiler several times that" : "";
  return `${needs}${more}. ${has}: close other programs, add swap, or compile on another host and copy the directory.`;
}

/** Counts the bytes of a model's weights, where they are on this host: as a directory, or in the Hugging Face cache. */
async function weightsOf(model: string): Promise<number> {
  const cached = isHubName(model) ? await findCached(model).catch(() => undefined) : undefined;
  for (const directory of [model, ...(cached === undefined ? [] : [cached])]) {
    const names = await readdir(directory).catch((): string[] => []);
    const safe = names.filter((name) => name.endsWith(".safetensors"));
    const files = safe.length > 0 ? safe : names.filter((name) => /^pytorch_model.*\.bin$/.test(name));
    const sizes = await Promise.all(files.map(async (name) => (await stat(join(directory, name))).size));
    if (sizes.length > 0) return sizes.reduce((sum, size) => sum + size, 0);
  }
  return 0;
}
