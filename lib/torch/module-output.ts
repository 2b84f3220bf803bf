import type { NativeOutput } from "./native.js";
import { Tensor } from "./tensor.js";

/**
 * What a TorchScript module returns: tuples and lists as arrays, string-keyed dicts as objects, None as null. An int is a number, or a
 * bigint where a number cannot hold it (beyond `Number.MAX_SAFE_INTEGER`).
 */
export type TorchOutput =
  | Tensor
  | number
  | bigint
  | boolean
  | string
  | null
  | TorchOutput[]
  | { [key: string]: TorchOutput };

/** What the addon's outputs are in JavaScript. */
export function fromOutput(output: NativeOutput): TorchOutput {
  switch (output.kind) {
    case "tensor":
      return new Tensor(output.handle, output.dtype, output.shape);
    case "list":
      return output.items.map(fromOutput);
    case "dict":
      return Object.fromEntries(output.items.map((item, i) => [output.keys[i], fromOutput(item)]));
    case "value":
      return output.value;
  }
}
