import { NeuronBlipError } from "../errors.js";
import type { TorchModule } from "./torch-module.js";

/** A module that is loaded when it is first asked for. */
export class LazyModule {
  readonly path: string;
  readonly #load: () => Promise<TorchModule>;
  #module: Promise<TorchModule> | undefined;
  #disposed: Promise<void> | undefined;

  constructor(path: string, load: () => Promise<TorchModule>) {
    this.path = path;
    this.#load = load;
  }

  /** @throws NeuronBlipError `DISPOSED`, and what loading throws; then the next call tries again. */
  get(): Promise<TorchModule> {
    if (this.#disposed) {
      return Promise.reject(
        new NeuronBlipError("DISPOSED", `The module "${this.path}" has been disposed. Load it again.`),
      );
    }
    if (this.#module === undefined) {
      const loading = this.#load();
      this.#module = loading;
      loading.catch(() => {
        this.#module = undefined;
      });
    }
    return this.#module;
  }

  /** Frees the module, where it was loaded, after the calls made before. May be called twice. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  async #release(): Promise<void> {
    const module = await this.#module?.catch(() => undefined);
    await module?.dispose();
  }
}
