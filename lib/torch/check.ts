import { NeuronBlipError } from "../errors.js";
import { shown } from "../util/values.js";
import { type Dtype, Tensor } from "./tensor.js";
import type { TorchOutput } from "./torch-module.js";

/** A compiled shape; where the part takes any size along a dimension, that is "any". */
export type ShapePattern = readonly (number | "any")[];

/** @throws NeuronBlipError `INVALID_INPUT` where a tensor is not of the dtype, or one of them, and shape that was compiled for. */
export function checkInput(name: string, tensor: Tensor, dtype: Dtype | readonly Dtype[], shape: ShapePattern): void {
  if (!(tensor instanceof Tensor)) {
    throw new NeuronBlipError("INVALID_INPUT", `${name} must be a Tensor, not ${inWords(tensor)}.`);
  }
  const fits =
    tensor.shape.length === shape.length && shape.every((size, i) => size === "any" || tensor.shape[i] === size);
  const dtypes = [dtype].flat();
  if (!dtypes.includes(tensor.dtype) || !fits) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} must be ${dtypes.join(" or ")} [${shape.join(", ")}], not ${tensor.dtype} [${tensor.shape.join(", ")}].`,
    );
  }
}

/** @throws NeuronBlipError `INVALID_INPUT` where a tensor is not of the dtype and number of dimensions expected. */
export function checkRank(name: string, tensor: Tensor, dtype: Dtype, rank: number): void {
  if (!(tensor instanceof Tensor) || tensor.dtype !== dtype || tensor.shape.length !== rank || tensor.shape[0] === 0) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name} must be a ${dtype} tensor of ${rank} dimensions, not ${inWords(tensor)}.`,
    );
  }
}

/** What was given in place of a tensor that fits. */
export function inWords(value: unknown): string {
  if (value instanceof Tensor) return `${value.dtype} [${value.shape.join(", ")}]`;
  // Another copy's tensors have another addon's memory.
  if (typeof value === "object" && value !== null && value.constructor?.name === "Tensor" && "dtype" in value) {
    return "a Tensor of another copy of neuron-blip: load the package once in a process (`npm ls neuron-blip` lists the copies)";
  }
  return shown(value);
}

/**
 * A float32 tensor of a module's output: the output itself, or its entry of that name (a dict) or index (a tuple).
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where the module returned something else.
 */
export function tensorFrom(output: TorchOutput, name: string, index: number, path: string): Tensor<"float32"> {
  let found: TorchOutput | undefined = output;
  if (Array.isArray(output)) found = output[index];
  else if (typeof output === "object" && output !== null && !(output instanceof Tensor)) found = output[name];
  if (found instanceof Tensor && found.dtype === "float32") return found as Tensor<"float32">;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" did not return a float32 tensor "${name}": it is not the part that its name says, or was compiled with half ` +
      "precision outputs.",
  );
}
