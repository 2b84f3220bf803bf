import type { Executor } from "./executor.js";
import type { TorchModule } from "./torch-module.js";

/** A TorchScript file for several executors, which share its weights: whoever needs it first loads it. */
export class SharedFile {
  readonly path: string;
  readonly #load: (path: string, executor: Executor) => Promise<TorchModule>;
  /** Those that were given out; a disposed one shares no more, but its weights live on in the others. */
  #modules: TorchModule[] = [];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(path: string, load: (path: string, executor: Executor) => Promise<TorchModule>) {
    this.path = path;
    this.#load = load;
  }

  /** Returns the file's module on an executor, for the caller to dispose of. @throws what loading throws. */
  on(executor: Executor): Promise<TorchModule> {
    const module = this.#turn.then(async () => {
      this.#modules = this.#modules.filter(({ isDisposed }) => !isDisposed);
      const [first] = this.#modules;
      // Only the CPU's memory can be shared.
      const another = first && !first.usesNeuron ? first.shareOn(executor) : await this.#load(this.path, executor);
      this.#modules.push(another);
      return another;
    });
    this.#turn = module.catch(() => {});
    return module;
  }
}
