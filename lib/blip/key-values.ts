import { NeuronBlipError } from "../errors.js";
import { Tensor } from "../torch/tensor.js";
import type { TorchOutput } from "../torch/torch-module.js";

/** The dtypes that keys and values have: bfloat16 where the text models calculate in it. */
export type KeysValuesDtype = "float32" | "bfloat16";

/**
 * From so many tokens about one picture on, computing its keys and values takes less time than it saves them; for fewer, each attends
 * to the picture's embeddings by themselves.
 */
const TOKENS_THAT_PAY = 64;

/**
 * Whether a picture's keys and values are worth computing for texts about it.
 * @param lengths of the texts, in tokens.
 */
export function keyValuesPay(lengths: Iterable<number>): boolean {
  let tokens = 0;
  for (const length of lengths) {
    tokens += length;
    if (tokens >= TOKENS_THAT_PAY) return true;
  }
  return false;
}

/**
 * Keys and values in a function's output: the output itself, or its entry of that index.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the function returned something else.
 */
export function keyValuesFrom(
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
