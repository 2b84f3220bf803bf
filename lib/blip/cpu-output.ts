import { NeuronBlipError } from "../errors.js";
import type { TorchOutput } from "../runtime/torch-module.js";
import { type Dtype, Tensor } from "../tensor.js";

/**
 * A tensor of a part's output, of the dtype that the manifest says: the output itself, or its entry of that index.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the part returned something else.
 */
export function anyTensorFrom(output: TorchOutput, index: number, name: string, dtype: Dtype, path: string): Tensor {
  const found = Array.isArray(output) ? output[index] : output;
  if (found instanceof Tensor && found.dtype === dtype) return found;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" did not return ${dtype} for ${name}: it is not the part that neuron_blip.json describes. Compile the model again.`,
  );
}
