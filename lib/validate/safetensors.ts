import { readFile } from "node:fs/promises";
import { readSafetensorsHeader } from "../hub/safetensors.js";
import { Tensor, type TensorData } from "../tensor.js";

/** What a .safetensors file holds. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/**
 * Reads a .safetensors file whole. The caller disposes of the tensors.
 * @throws NeuronBlipError as `readSafetensorsHeader`.
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const { tensors: entries, metadata } = await readSafetensorsHeader(path);
  const file = await readFile(path);
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, offset, byteLength }] of entries) {
    // Copied out, because typed arrays must begin at a multiple of their element's size.
    const elements = new ARRAYS[dtype](Uint8Array.from(file.subarray(offset, offset + byteLength)).buffer);
    tensors.set(name, Tensor.from(elements as TensorData, shape, dtype));
  }
  return { tensors, metadata };
}
