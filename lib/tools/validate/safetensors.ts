import { readFile } from "node:fs/promises";
import { readSafetensorsHeader } from "../../hub/safetensors.js";
import { Tensor } from "../../torch/tensor.js";

/** What a .safetensors file holds. */
export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads a .safetensors file whole. The caller disposes of the tensors.
 * @throws NeuronBlipError as `readSafetensorsHeader`.
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  const { tensors: entries, metadata } = await readSafetensorsHeader(path);
  const file = await readFile(path);
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype, shape, offset, byteLength }] of entries) {
    const tensor = Tensor.zeros(dtype, shape);
    const { buffer, byteOffset } = tensor.data;
    new Uint8Array(buffer, byteOffset, byteLength).set(file.subarray(offset, offset + byteLength));
    tensors.set(name, tensor);
  }
  return { tensors, metadata };
}
