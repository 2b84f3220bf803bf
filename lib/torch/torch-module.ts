import { stat } from "node:fs/promises";
import { NeuronBlipError, readOptions } from "../errors.js";
import { adviceFor } from "../util/advice.js";
import { type ModelDirectory, pathOf } from "../util/model-path.js";
import { checkCount, Executor } from "./executor.js";
import { callError, loadError } from "./module-error.js";
import { fromNative, type ModuleHandle, type ModuleSignature, type Native, native } from "./native.js";
import { isNeuronFailure, neuronError } from "./neuron/neuron-error.js";
import { loadNeuronRuntime, type NeuronRuntimeOptions } from "./neuron/neuron-runtime.js";
import { retryBusy } from "./neuron/retry-busy.js";
import { checkedInputs, fromOutput, type TorchInput, type TorchOutput } from "./torch-values.js";

export type { ModuleSignature } from "./native.js";
export type { TorchInput, TorchOutput } from "./torch-values.js";

export interface TorchModuleOptions extends NeuronRuntimeOptions {
  /** The thread to load and run on. Default: one of the module's own, closed when it is disposed. */
  executor?: Executor;
  /**
   * The NeuronCore that a module for Neuron is put on, an index among the visible ones. Default: the runtime's choice, on which
   * nothing should rely.
   */
  neuronCore?: number;
}

/**
 * A TorchScript file (`torch.jit.save`), loaded into this process.
 *
 * ```ts
 * const module = await TorchModule.load("resnet.pt");
 * const logits = await module.forward([Tensor.from(pixels, [1, 3, 224, 224])]);
 * ```
 */
export class TorchModule implements AsyncDisposable {
  readonly path: string;
  /** What each of its methods takes and returns: `forward`, and those that `torch.jit.export` or `trace_module` made. */
  readonly methods: Readonly<Record<string, ModuleSignature>>;
  /** Whether it was compiled for AWS Neuron. */
  readonly usesNeuron: boolean;
  readonly #handle: ModuleHandle;
  readonly #executor: Executor;
  readonly #ownsExecutor: boolean;
  readonly #running = new Set<Promise<unknown>>();
  /** How many objects use the native module. */
  readonly #users: { count: number };
  #disposed: Promise<void> | undefined;

  private constructor(
    path: string,
    loaded: { handle: ModuleHandle; methods: Readonly<Record<string, ModuleSignature>> },
    usesNeuron: boolean,
    executor: Executor,
    ownsExecutor: boolean,
    users = { count: 0 },
  ) {
    this.#users = users;
    this.#users.count++;
    this.path = path;
    this.methods = loaded.methods;
    this.usesNeuron = usesNeuron;
    this.#handle = loaded.handle;
    this.#executor = executor;
    this.#ownsExecutor = ownsExecutor;
  }

  /**
   * Tells whether a TorchScript file was compiled for AWS Neuron, from its code, without running any.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` and `ARTIFACT_MISMATCH` as `load`.
   */
  static async usesNeuron(path: ModelDirectory): Promise<boolean> {
    const file = await fileOf(path);
    await using executor = new Executor();
    try {
      return await native().inspectModule(executor.handle, file);
    } catch (error) {
      throw await loadError(executor.handle, file, fromNative(error));
    }
  }

  /**
   * Loads a TorchScript file on the executor's thread. Such a file is a program: load only what you trust.
   * @param path a path or a `file:` URL.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` for a file that is damaged or no module; `ARTIFACT_MISMATCH` for a
   * whole file of another kind (weights, an exported program, …), and for a module that this libtorch cannot run; for one compiled
   * for AWS Neuron `NEURON_RUNTIME_NOT_FOUND`, `NEURON_RUNTIME_MISMATCH`, `NEURON_CORES_UNAVAILABLE` and `NEURON_EXECUTION`;
   * why the addon does not load.
   */
  static async load(path: ModelDirectory, given: TorchModuleOptions = {}): Promise<TorchModule> {
    const options = readOptions(given, "TorchModule.load");
    const { neuronCore } = options;
    if (neuronCore !== undefined) checkCount("neuronCore", neuronCore, 0, 4096);
    const file = await fileOf(path);
    const executor = options.executor ?? new Executor();
    const ownsExecutor = options.executor === undefined;
    try {
      const usesNeuron = await native().inspectModule(executor.handle, file);
      if (usesNeuron) await loadNeuronRuntime(options, file);
      const core = usesNeuron ? (neuronCore ?? ANY_CORE) : undefined;
      const loaded = await loadNative(file, executor, core);
      const module = new TorchModule(file, loaded, usesNeuron, executor, ownsExecutor);
      if (core !== undefined && core !== ANY_CORE && !loaded.placed) await module.#placeOrDispose(core);
      return module;
    } catch (error) {
      const failure = await loadError(executor.handle, file, fromNative(error));
      if (ownsExecutor) await executor.close();
      throw failure;
    }
  }

  /** Tells what `forward` takes and returns. */
  get signature(): ModuleSignature {
    return this.methods.forward as ModuleSignature;
  }

  /** Runs the module's `forward`: see `call`. */
  forward<Output extends TorchOutput = TorchOutput>(inputs: readonly (TorchInput | undefined)[]): Promise<Output> {
    return this.call<Output>("forward", inputs);
  }

  /**
   * Runs one of the module's methods on its executor's thread; calls run in order.
   * @param method a name in `methods`.
   * @param inputs the positional inputs, of the types that `methods` declares. Where that is Any, Scalar (number) or a union, whole
   * numbers and bigints are int, other numbers float. An int beyond `Number.MAX_SAFE_INTEGER` is given as a bigint; undefined stands for
   * an argument's default.
   * @typeParam Output what the method returns, where that is known: `call<Tensor>(…)`.
   * @returns tensors over the memory that libtorch made, not copied.
   * @throws NeuronBlipError `INVALID_INPUT` for a method that the module does not have, and where the inputs do not fit its
   * signature; `EXECUTION_FAILED` with libtorch's reason where the module throws, as it does for wrong shapes and
   * dtypes, and for outputs that nest more than 64 deep, hold themselves or have more than 100,000 values; `DISPOSED`.
   */
  async call<Output extends TorchOutput = TorchOutput>(
    method: string,
    inputs: readonly (TorchInput | undefined)[],
  ): Promise<Output> {
    if (this.#disposed) throw disposedError(this.path);
    const given = checkedInputs(this.path, this.methods, method, inputs);
    try {
      const call = () => this.#executor.run((executor) => native().callModule(executor, this.#handle, method, given));
      return fromOutput(await this.#track(this.usesNeuron ? retryBusy(call) : call())) as Output;
    } catch (error) {
      const failure = fromNative(error);
      throw this.usesNeuron && isNeuronFailure(failure.message)
        ? neuronError(this.path, failure)
        : callError(this.path, failure);
    }
  }

  /**
   * Puts the module's Neuron graphs on NeuronCores, instead of where the runtime put them when it was loaded.
   * @param start the first core, an index among the visible ones.
   * @param count how many cores hold a copy and take turns. Default 1.
   * @returns whether the module has graphs that can be put anywhere.
   * @throws NeuronBlipError `NEURON_EXECUTION`, `NEURON_CORES_UNAVAILABLE`, `DISPOSED`.
   */
  async setNeuronCores(start: number, count = 1): Promise<boolean> {
    if (this.#disposed) throw disposedError(this.path);
    try {
      return (await this.#track(native().placeModule(this.#handle, start, count))) > 0;
    } catch (error) {
      throw placementError(this.path, start, neuronError(this.path, fromNative(error)));
    }
  }

  /** Puts a module that was just loaded, and that no caller has yet, on a core; disposes of it where that fails. */
  async #placeOrDispose(core: number): Promise<void> {
    try {
      await this.setNeuronCores(core);
    } catch (error) {
      await this.dispose();
      throw error;
    }
  }

  async #track<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  /**
   * Gives the same module on another executor's threads, with the same weights: for replicas on the CPU. A module of Neuron must be
   * loaded for each core instead. The weights are freed with the last object that uses them.
   * @throws NeuronBlipError `DISPOSED`.
   */
  shareOn(executor: Executor): TorchModule {
    if (this.#disposed) throw disposedError(this.path);
    const loaded = { handle: this.#handle, methods: this.methods };
    return new TorchModule(this.path, loaded, this.usesNeuron, executor, false, this.#users);
  }

  /** Tells whether `dispose` was called. */
  get isDisposed(): boolean {
    return this.#disposed !== undefined;
  }

  /** Frees the module when the calls made before are done; later calls get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    this.#disposed ??= this.#release();
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  async #release(): Promise<void> {
    // With several threads a call may still run on another than the one that frees the module.
    await Promise.allSettled(this.#running);
    if (--this.#users.count === 0) {
      try {
        await native().releaseModule(this.#handle);
      } catch (error) {
        throw fromNative(error);
      }
    }
    if (this.#ownsExecutor) await this.#executor.close();
  }
}

/** Wherever the runtime puts it. */
const ANY_CORE = -1;

/** Loads a file by the addon. @param core undefined for a module that is not for Neuron. */
async function loadNative(
  file: string,
  executor: Executor,
  core: number | undefined,
): ReturnType<Native["loadModule"]> {
  const load = () => native().loadModule(executor.handle, file, core);
  if (core === undefined) return load();
  try {
    return await retryBusy(load);
  } catch (error) {
    const failure = fromNative(error);
    throw failure.code === "NEURON_CORES_UNAVAILABLE"
      ? placementRefused(file, core, failure)
      : neuronError(file, failure);
  }
}

async function fileOf(path: ModelDirectory): Promise<string> {
  const file = pathOf(path, "a TorchScript file");
  const found = await stat(file).catch(async (cause) => {
    const advice = file.endsWith(".pt") ? "" : ` ${await adviceFor(file)}`;
    throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `There is no file "${file}".${advice}`, { cause });
  });
  if (!found.isFile()) {
    throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `"${file}" is not a file. ${await adviceFor(file)}`);
  }
  return file;
}

function disposedError(path: string): NeuronBlipError {
  return new NeuronBlipError("DISPOSED", `The module "${path}" has been disposed. Load it again.`);
}

/** Explains a failed placement: where the runtime gives no status, it has refused the choice of cores. */
function placementError(path: string, start: number, error: NeuronBlipError): NeuronBlipError {
  return error.code === "EXECUTION_FAILED" ? placementRefused(path, start, error) : error;
}

function placementRefused(path: string, start: number, error: NeuronBlipError): NeuronBlipError {
  const reason = (error.message.trimEnd().split("\n").at(-1) ?? "").slice(0, 300);
  return new NeuronBlipError(
    "NEURON_CORES_UNAVAILABLE",
    `"${path.slice(-200)}" cannot be put on NeuronCore ${start} of those that this process may use: ${reason} Ask for fewer replicas, or ` +
      "choose other cores with the option cores.",
    { cause: error },
  );
}
