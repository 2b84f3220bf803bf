import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NeuronBlipError } from "../../errors.js";
import { rowsOf } from "../../torch/batch.js";
import { Tensor } from "../../torch/tensor.js";
import type { Model, TensorFacts } from "./model-facts.js";
import { readSafetensors } from "./safetensors.js";

/** What was recorded when the model was compiled. */
export class Reference {
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether it is the file that the manifest describes; undefined where the manifest describes none. */
  readonly isDescribed: boolean | undefined;

  private constructor(
    tensors: ReadonlyMap<string, Tensor>,
    metadata: Readonly<Record<string, string>>,
    isDescribed: boolean | undefined,
  ) {
    this.#tensors = tensors;
    this.metadata = metadata;
    this.isDescribed = isDescribed;
  }

  /**
   * Reads a model directory's reference.safetensors.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`.
   */
  static async read(directory: string, { referenceSha256 }: Pick<Model, "referenceSha256">): Promise<Reference> {
    const path = join(directory, "reference.safetensors");
    const { tensors, metadata } = await readSafetensors(path);
    const sha256 = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    return new Reference(tensors, metadata, referenceSha256 === undefined ? undefined : sha256 === referenceSha256);
  }

  /** A recorded tensor, such as "generate.pixel_values"; undefined where there is none. */
  find(name: string): Tensor | undefined {
    return this.#tensors.get(name);
  }

  /** @throws NeuronBlipError `ARTIFACT_CORRUPT` where there is none. */
  get(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `reference.safetensors has no "${name}". Compile the model again with this version of neuron-blip.`,
    );
  }

  /**
   * An input or output of a part, in its compiled shape: what is recorded is of one batch size, and for another its rows are
   * taken in turn.
   * @throws NeuronBlipError `ARTIFACT_CORRUPT` where there is none.
   */
  of(part: string, kind: "input" | "output", { name, shape }: TensorFacts): Tensor {
    const recorded = this.get(`${part}.${kind}.${name}`);
    const count = shape[0];
    const sameRows = shape.slice(1).join() === recorded.shape.slice(1).join();
    if (count === undefined || count === recorded.shape[0] || !sameRows) return recorded;
    const rows = rowsOf(recorded);
    const whole = Tensor.zeros(recorded.dtype, shape);
    for (let i = 0; i < count; i++) {
      const row = rows[i % rows.length] as Tensor;
      (whole.data as Float32Array).set(row.data as Float32Array, i * row.size);
    }
    return whole;
  }
}
