import { types } from "node:util";
import type { TensorSpec } from "../../blip/manifest.js";
import { NeuronBlipError } from "../../errors.js";
import { type Dtype, Tensor } from "../../torch/tensor.js";

/** What one input of a module is: its name, empty where it is not known, and its shape, with -1 for what may be any. */
export type InputSpec = TensorSpec;

const DTYPES = "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split(" ");
const isDtype = (name: string): name is Dtype => DTYPES.includes(name);

/**
 * Parses an input as the command line gives it, such as "1x3x224x224:float32"; without a dtype it is float32.
 * @throws NeuronBlipError `INVALID_INPUT`.
 */
export function parseInput(text: string): InputSpec {
  const [, sizes, dtype = "float32"] = /^([1-9]\d{0,8}(?:x[1-9]\d{0,8})*)(?::(\w+))?$/.exec(text) ?? [];
  if (sizes === undefined || !isDtype(dtype)) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `"${text}" is no input. Give its shape and dtype, such as 1x3x224x224:float32 or 1x8:int64; dtypes are ${DTYPES.join(", ")}.`,
    );
  }
  return { name: "", dtype, shape: sizes.split("x").map(Number) };
}

/**
 * Returns the inputs' shapes for a batch. Where dimensions may be any, the first such of each input is the batch, and the others a
 * text's length. Where all are fixed, the batch is the first of every input with two or more: a single one (as the decoder's
 * position) is the same for all rows.
 */
export function shapesFor(inputs: readonly InputSpec[], batchSize: number, length: number): number[][] {
  const isDynamic = inputs.some(({ shape }) => shape.includes(-1));
  return inputs.map(({ shape }) => {
    const batchAt = isDynamic ? shape.indexOf(-1) : shape.length > 1 ? 0 : -1;
    return shape.map((size, i) => (i === batchAt ? batchSize : size === -1 ? length : size));
  });
}

/** Makes an input with values that any module takes: floats between -1 and 1, masks of ones, other whole numbers 0. */
export function makeInput({ name, dtype }: InputSpec, shape: readonly number[]): Tensor {
  const tensor = Tensor.zeros(dtype, shape);
  const { data } = tensor;
  if (types.isFloat32Array(data) || types.isFloat64Array(data)) {
    // A linear congruential generator: the same values for everyone.
    let state = 1;
    for (let i = 0; i < data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data[i] = state / 2 ** 31 - 1;
    }
  } else if (name.includes("mask")) {
    if (types.isBigInt64Array(data)) data.fill(1n);
    else if (!dtype.includes("float")) data.fill(1);
  }
  return tensor;
}
