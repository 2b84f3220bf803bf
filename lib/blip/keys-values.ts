import { NeuronBlipError } from "../errors.js";
import type { TorchOutput } from "../runtime/torch-module.js";
import { Tensor } from "../tensor.js";

/** The dtypes that keys and values have: bfloat16 where the text models calculate in it. */
export type KeysValuesDtype = "float32" | "bfloat16";

/**
 * Keys and values in a function's output: the output itself, or its entry of that index.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the function returned something else.
 */
export function keysValuesFrom(
  output: TorchOutput,
  index: number,
  name: string,
  dtype: KeysValuesDtype,
  path: string,
): Tensor {
  const found = Array.isArray(output) ? output[index] : output;
  if (found instanceof Tensor && found.dtype === dtype) return found;
  throw new NeuronBlipError("ARTIFACT_MISMATCH", `"${path}" did not return ${dtype} for ${name}.`);
}
