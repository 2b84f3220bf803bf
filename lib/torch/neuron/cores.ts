import { NeuronBlipError } from "../../errors.js";
import { shown } from "../../util/values.js";

/**
 * Reads a choice of NeuronCores: "2", "0-3", "0,1" or a list of indices.
 * @returns the indices, increasing.
 * @throws NeuronBlipError `INVALID_INPUT` where it is none: the runtime takes cores that follow each other.
 */
export function parseCores(cores: string | readonly number[]): number[] {
  const list = typeof cores === "string" ? cores.split(",").flatMap(range) : Array.isArray(cores) ? cores.slice() : [];
  const [first = 0] = list;
  const follow = list.every((core, i) => Number.isSafeInteger(core) && core >= 0 && core === first + i);
  if (list.length === 0 || !follow) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `cores must be NeuronCores that follow each other, such as "0-1" or [0, 1], not ${shown(cores)}.`,
    );
  }
  return list;
}

/** Writes cores as NEURON_RT_VISIBLE_CORES takes them. */
export function formatCores(cores: readonly number[]): string {
  const [first, last] = [cores[0], cores.at(-1)];
  return first === last ? `${first}` : `${first}-${last}`;
}

function range(text: string): number[] {
  const found = /^\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*$/.exec(text);
  if (!found) return [Number.NaN];
  const first = Number(found[1]);
  const last = Number(found[2] ?? first);
  return last < first ? [Number.NaN] : Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
