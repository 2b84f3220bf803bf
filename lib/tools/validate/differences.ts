import { Tensor } from "../../torch/tensor.js";
import type { TorchOutput } from "../../torch/torch-module.js";

/** How a result differs from the recorded one. */
export interface Difference {
  /** Such as "last_hidden_state". */
  readonly output: string;
  /** null where the results cannot be compared: `problem` says why. */
  readonly largest: number | null;
  readonly mean: number | null;
  /** The largest absolute value that was recorded, which the tolerance is relative to. */
  readonly scale: number;
  /** largest / scale. */
  readonly relative: number | null;
  readonly problem?: string;
}

/**
 * Computes how far a tensor is from the recorded one.
 * @param output its name, for the report.
 * @param found what a part returned under that name; undefined where it returned nothing so named.
 * @param wanted float32, float64 or any of whole numbers.
 */
export function differenceOf(output: string, found: Tensor | undefined, wanted: Tensor): Difference {
  const theirs = numbersOf(wanted);
  const scale = theirs?.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) ?? 0;
  if (found === undefined) return incomparable(output, scale, `the part returns no "${output}"`);
  if (found.shape.join() !== wanted.shape.join()) {
    const shapes = `it is [${found.shape.join(", ")}], and [${wanted.shape.join(", ")}] was recorded`;
    return incomparable(output, scale, shapes);
  }
  const ours = numbersOf(found);
  if (ours && theirs) return compare(output, ours, theirs, scale);
  return incomparable(output, scale, `${found.dtype} and ${wanted.dtype} are not compared`);
}

/** Computes the same of lists of as many probabilities or cosines: their scale is 1, however small they are. */
export function differenceOfScores(output: string, found: readonly number[], wanted: readonly number[]): Difference {
  return compare(output, Float64Array.from(found), Float64Array.from(wanted), 1);
}

export function isWithin({ relative }: Difference, tolerance: number): boolean {
  return relative !== null && relative <= tolerance;
}

/** Picks a tensor of what a part returned: the output itself, or its entry of that name (a dict) or index (a tuple). */
export function outputOf(output: TorchOutput, name: string, index: number): Tensor | undefined {
  if (output instanceof Tensor) return output;
  const entries = typeof output === "object" && output !== null ? output : {};
  const found = Array.isArray(entries) ? entries[index] : entries[name];
  return found instanceof Tensor ? found : undefined;
}

function compare(output: string, ours: Float64Array, theirs: Float64Array, scale: number): Difference {
  const differences = theirs.map((value, i) => Math.abs((ours[i] ?? Number.NaN) - value));
  const bad = differences.findIndex((difference) => !Number.isFinite(difference));
  if (bad >= 0) return incomparable(output, scale, `value ${bad} is ${ours[bad]}`);
  const largest = differences.reduce((most, difference) => Math.max(most, difference), 0);
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / Math.max(1, theirs.length);
  return { output, largest, mean, scale, relative: largest === 0 ? 0 : largest / (scale || 1) };
}

function incomparable(output: string, scale: number, problem: string): Difference {
  return { output, largest: null, mean: null, scale, relative: null, problem };
}

/** Converts a tensor's values to numbers; undefined for float16 and bfloat16, whose bits are not numbers yet. */
function numbersOf({ dtype, data }: Tensor): Float64Array | undefined {
  if (dtype === "float16" || dtype === "bfloat16") return undefined;
  return Float64Array.from<number | bigint>(data, Number);
}
