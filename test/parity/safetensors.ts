import { readFileSync, writeFileSync } from "node:fs";
import { type Dtype, Tensor } from "neuron-blip";

const dtypes: Record<string, Dtype> = { F32: "float32", I64: "int64", I32: "int32", U8: "uint8" };
const arrays = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array } as const;

/** The tensors of a .safetensors file: a JSON header behind its length, then their bytes. */
export function readSafetensors(path: string): Map<string, Tensor> {
  const file = readFileSync(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.toString("utf8", 8, 8 + headerLength),
  );
  const tensors = new Map<string, Tensor>();
  for (const [name, { dtype: code, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const dtype = dtypes[code] as keyof typeof arrays;
    // Copied out, because typed arrays must begin at a multiple of their element's size.
    const bytes = Uint8Array.from(file.subarray(8 + headerLength + offsets[0], 8 + headerLength + offsets[1]));
    tensors.set(name, Tensor.from(new arrays[dtype](bytes.buffer) as Float32Array, shape));
  }
  return tensors;
}

/** Adds to a tensor's first bytes, in place. @returns the file. */
export function alterTensor(path: string, name: string): Buffer {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const [begin] = JSON.parse(file.toString("utf8", 8, 8 + length))[name].data_offsets;
  const at = 8 + length + begin;
  // A float32's third byte is of its leading digits; an int64's, far beyond any token.
  file[at + 2] = (file[at + 2] as number) ^ 0x7f;
  file[at + 3] = (file[at + 3] as number) ^ 0x01;
  writeFileSync(path, file);
  return file;
}
