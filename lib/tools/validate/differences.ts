import { Tensor } from "../../torch/tensor.js";
import type { TorchOutput } from "../../torch/torch-module.js";
import type { Difference } from "./report.js";

/**
 * How far a tensor is from the recorded one.
 * @param output its name, for the report.
 * @param found what a part returned under that name; undefined where it returned nothing so named.
 * @param wanted float32, float64 or any of whole numbers.
 */
export function differenceOf(output: string, found: Tensor | undefined, wanted: Tensor): Difference {
  const theirs = numbersOf(wanted);
  const scale = theirs?.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) ?? 0;
  const incomparable = (problem: string): Difference => {
    return { output, largest: null, mean: null, scale, relative: null, problem };
  };
  if (found === undefined) return incomparable(`the part returns no "${output}"`);
  if (found.shape.join() !== wanted.shape.join()) {
    return incomparable(`it is [${found.shape.join(", ")}], and [${wanted.shape.join(", ")}] was recorded`);
  }
  const ours = numbersOf(found);
  if (!ours || !theirs) return incomparable(`${found.dtype} and ${wanted.dtype} are not compared`);
  return compare(output, ours, theirs, scale);
}

/** As differenceOf, of lists of as many probabilities or cosines: their scale is 1, however small they are. */
export function differenceOfScores(output: string, found: readonly number[], wanted: readonly number[]): Difference {
  return compare(output, Float64Array.from(found), Float64Array.from(wanted), 1);
}

export function isWithin(difference: Difference, tolerance: number): boolean {
  return difference.relative !== null && difference.relative <= tolerance;
}

/** A tensor of what a part returned: the output itself, or its entry of that name (a dict) or index (a tuple). */
export function outputOf(output: TorchOutput, name: string, index: number): Tensor | undefined {
  const found =
    output instanceof Tensor || output === null || typeof output !== "object"
      ? output
      : Array.isArray(output)
        ? output[index]
        : output[name];
  return found instanceof Tensor ? found : undefined;
}

function compare(output: string, ours: Float64Array, theirs: Float64Array, scale: number): Difference {
  let [largest, sum] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    const difference = Math.abs((ours[i] as number) - (theirs[i] as number));
    if (!Number.isFinite(difference)) {
      return { output, largest: null, mean: null, scale, relative: null, problem: `value ${i} is ${ours[i]}` };
    }
    largest = Math.max(largest, difference);
    sum += difference;
  }
  const mean = sum / Math.max(1, theirs.length);
  return { output, largest, mean, scale, relative: largest === 0 ? 0 : largest / (scale || 1) };
}

/** undefined for the two half types, whose bits are not numbers yet. */
function numbersOf({ dtype, data }: Tensor): Float64Array | undefined {
  if (dtype === "float16" || dtype === "bfloat16") return undefined;
  return Float64Array.from(data as ArrayLike<number | bigint>, Number);
}
