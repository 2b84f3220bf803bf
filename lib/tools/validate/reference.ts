import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type FileSpec, type TensorSpec, verifyFile } from "../../blip/manifest.js";
import { NeuronBlipError } from "../../errors.js";
import { readSafetensorsHeader } from "../../hub/safetensors.js";
import { rowsOf, stackRows, Tensor } from "../../torch/tensor.js";

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

/** What was recorded when the model was compiled. */
export class Reference {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Why it is not the file that the manifest describes. */
  readonly mismatch: NeuronBlipError | undefined;

  private constructor({ tensors, metadata }: Safetensors, mismatch: NeuronBlipError | undefined) {
    this.#tensors = tensors;
    this.metadata = metadata;
    this.mismatch = mismatch;
  }

  /**
   * Reads a model directory's reference.safetensors.
   * @param described as the manifest does.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`.
   */
  static async read(directory: string, described: FileSpec | undefined): Promise<Reference> {
    const file = await readSafetensors(join(directory, "reference.safetensors"));
    const mismatch = described && (await verifyFile(directory, described).then(() => undefined, asOurs));
    return new Reference(file, mismatch);
  }

  /** Finds a recorded tensor, such as "generate.pixel_values"; undefined where there is none. */
  find(name: string): Tensor | undefined {
    return this.#tensors.get(name);
  }

  /** Returns a recorded tensor. @throws NeuronBlipError `ARTIFACT_CORRUPT` where there is none. */
  get(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `reference.safetensors has no "${name}". Compile the model again with this version of neuron-blip.`,
    );
  }

  /**
   * Returns an input or output of a part, in its compiled shape: what is recorded is of one batch size, and for another its rows
   * are taken in turn.
   * @throws NeuronBlipError `ARTIFACT_CORRUPT` where there is none.
   */
  of(part: string, kind: "input" | "output", { name, shape }: Pick<TensorSpec, "name" | "shape">): Tensor {
    const recorded = this.get(`${part}.${kind}.${name}`);
    const count = shape[0];
    const sameRows = shape.slice(1).join() === recorded.shape.slice(1).join();
    if (count === undefined || count === recorded.shape[0] || !sameRows) return recorded;
    const rows = rowsOf(recorded);
    return stackRows(
      Array.from({ length: Math.ceil(count / rows.length) }, () => rows)
        .flat()
        .slice(0, count),
      count,
    );
  }
}

function asOurs(error: unknown): NeuronBlipError {
  if (error instanceof NeuronBlipError) return error;
  throw error;
}
