import { NeuronBlipError } from "../errors.js";
import type { Part } from "./part.js";
import type { Tensor } from "./tensor.js";
import type { TorchModule, TorchOutput } from "./torch-module.js";

/** A part of a model: a module for each batch size that it was compiled for. */
export class CompiledPart implements Part {
  readonly #modules: ReadonlyMap<number, TorchModule>;
  /** The batch sizes, increasing. */
  readonly batchSizes: readonly number[];

  /** @param modules by batch size. */
  constructor(modules: ReadonlyMap<number, TorchModule>) {
    this.#modules = modules;
    this.batchSizes = [...modules.keys()].sort((one, other) => one - other);
  }

  get modules(): readonly TorchModule[] {
    return [...this.#modules.values()];
  }

  /** Returns the path of one of its files, for messages. */
  get path(): string {
    return [...this.#modules.values()][0]?.path ?? "";
  }

  /**
   * Runs the module of the first input's batch size.
   * @throws NeuronBlipError as TorchModule.forward; `INVALID_INPUT` for a batch that it was not compiled for.
   */
  async forward(inputs: readonly Tensor[]): Promise<TorchOutput> {
    const [batch = 0] = inputs[0]?.shape ?? [];
    const module = this.#modules.get(batch);
    if (module === undefined) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `"${this.path}" was compiled for batches of ${this.batchSizes.join(" and ")}, not of ${batch}.`,
      );
    }
    return module.forward(inputs);
  }

  /** Frees its modules after the calls made before. May be called twice. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#modules.values()].map((module) => module.dispose()));
  }
}
