import { NeuronBlipError } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { LazyModule } from "./lazy-module.js";
import type { TorchModule, TorchOutput } from "./torch-module.js";

/** A part of a model: a module for each batch size that it was compiled for, loaded already or when it is first used. */
export class CompiledPart {
  readonly #modules: ReadonlyMap<number, TorchModule | LazyModule>;
  /** The batch sizes, increasing. */
  readonly batchSizes: readonly number[];

  /** @param modules by batch size. */
  constructor(modules: ReadonlyMap<number, TorchModule | LazyModule>) {
    this.#modules = modules;
    this.batchSizes = [...modules.keys()].sort((one, other) => one - other);
  }

  /** Those that do not wait for their first use. */
  get modules(): readonly TorchModule[] {
    return [...this.#modules.values()].filter((module): module is TorchModule => !(module instanceof LazyModule));
  }

  /** One of its files, for messages. */
  get path(): string {
    return [...this.#modules.values()][0]?.path ?? "";
  }

  /**
   * Runs the module of the first input's batch size.
   * @throws NeuronBlipError as TorchModule.forward, and as TorchModule.load where this is its first use; `INVALID_INPUT` for a batch that it was not compiled for.
   */
  async forward(inputs: readonly Tensor[]): Promise<TorchOutput> {
    const batch = inputs[0]?.shape[0];
    const module = this.#modules.get(batch as number);
    if (module === undefined) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `"${this.path}" was compiled for batches of ${this.batchSizes.join(" and ")}, not of ${batch}.`,
      );
    }
    return (module instanceof LazyModule ? await module.get() : module).forward(inputs);
  }

  /** Frees its modules after the calls made before. May be called twice. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#modules.values()].map((module) => module.dispose()));
  }
}
