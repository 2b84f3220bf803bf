import { NeuronBlipError } from "../errors.js";
import type { TorchOutput } from "../runtime/torch-module.js";
import { type Dtype, Tensor } from "../tensor.js";
import type { KeysValuesDtype } from "./manifest.js";

/** The dtypes that keys and values then may have: where the CPU has no bfloat16, parts compiled in it run in float32. */
export function keysValuesDtypes(dtype: KeysValuesDtype): readonly Dtype[] {
  return dtype === "bfloat16" ? ["bfloat16", "float32"] : ["float32"];
}

/**
 * Keys and values in a part's output, of the dtype that the manifest says: the output itself, or its entry of that index.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the part returned something else.
 */
export function keysValuesFrom(
  output: TorchOutput,
  index: number,
  name: string,
  dtype: KeysValuesDtype,
  path: string,
): Tensor {
  const found = Array.isArray(output) ? output[index] : output;
  if (found instanceof Tensor && keysValuesDtypes(dtype).includes(found.dtype)) return found;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" did not return ${dtype} for ${name}: it is not the part that neuron_blip.json describes. Compile the model again.`,
  );
}
