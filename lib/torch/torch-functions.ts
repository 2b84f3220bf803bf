import { InFlight } from "../util/concurrency.js";
import type { Executor } from "./executor.js";
import { callError, compileError } from "./module-error.js";
import { type FunctionsHandle, fromNative, type ModuleSignature, native, type QuantizedEngine } from "./native.js";
import type { Functions, Part } from "./part.js";
import type { Tensor } from "./tensor.js";
import {
  checkedInputs,
  type FunctionInput,
  fromOutput,
  onThreadOf,
  type TorchOutput,
  TorchValue,
} from "./torch-values.js";

export type { QuantizedEngine } from "./native.js";
export { type FunctionInput, TorchValue } from "./torch-values.js";

export interface FunctionCallOptions {
  /** The thread to run on. Default: the one that compiled. */
  executor?: Executor;
  /** What quantised weights are packed for, where the function packs any. Default: libtorch's own choice. Such calls wait for each other. */
  quantizedEngine?: QuantizedEngine;
}

interface FunctionsBinding {
  readonly path: string;
  readonly executor: Executor;
  readonly first: readonly FunctionInput[];
  readonly last: readonly FunctionInput[];
}

/** Functions of a source over what belongs to a model, such as its weights. */
export interface BoundFunctions extends Functions {
  /** A function as a part, a row at a time. @param inputsOf which of a part's inputs it takes, and in what order; default: all. */
  part(name: string, inputsOf?: (inputs: readonly Tensor[]) => readonly Tensor[]): Part;
}

/**
 * TorchScript functions, compiled from a source text when they are loaded.
 *
 * The text may use `torch.NAME` (libtorch's operators, and dtypes), `ops.NAMESPACE.NAME` (any operator that is registered), the dtypes'
 * names (`float32`, `bfloat16`, …, save `bool`: that is `torch.bool`), and the type `PackedLinear` (of quantized.linear_prepack).
 * `if hasattr(ops.NAMESPACE, "NAME"):` is decided when it is compiled: the other branch need not compile.
 */
export class TorchFunctions implements AsyncDisposable {
  /** What messages call the source. */
  readonly name: string;
  /** What each function takes and returns. */
  readonly functions: Readonly<Record<string, ModuleSignature>>;
  readonly #handle: FunctionsHandle;
  readonly #executor: Executor;
  readonly #calls: InFlight;

  private constructor(
    name: string,
    compiled: { handle: FunctionsHandle; functions: Readonly<Record<string, ModuleSignature>> },
    executor: Executor,
  ) {
    this.name = name;
    this.functions = compiled.functions;
    this.#handle = compiled.handle;
    this.#executor = executor;
    this.#calls = new InFlight(`source "${name}"`);
  }

  /**
   * Compiles a source text on the executor's thread.
   * @param options.name what messages call it.
   * @throws NeuronBlipError `ARTIFACT_MISMATCH` with line, column and libtorch's words for a mistake in the text, and for an operator
   * that this libtorch does not have; why the addon does not load.
   */
  static async compile(source: string, options: { executor: Executor; name: string }): Promise<TorchFunctions> {
    const { executor, name } = options;
    try {
      return new TorchFunctions(name, await native().compileFunctions(executor.handle, source), executor);
    } catch (error) {
      throw compileError(name, fromNative(error));
    }
  }

  /**
   * Calls a function and converts what it returns, as `TorchModule.call` does.
   * @throws NeuronBlipError as `TorchModule.call`.
   */
  call<Output extends TorchOutput = TorchOutput>(
    name: string,
    inputs: readonly (FunctionInput | undefined)[],
    { executor = this.#executor, quantizedEngine }: FunctionCallOptions = {},
  ): Promise<Output> {
    return this.#calls.run(async () => {
      try {
        const given = checkedInputs(this.name, this.functions, name, inputs);
        const output = await executor.run((thread) =>
          native().callFunction(thread, this.#handle, name, given, quantizedEngine),
        );
        return fromOutput(output) as Output;
      } catch (error) {
        throw callError(this.name, fromNative(error));
      }
    });
  }

  /**
   * Calls a function and keeps what it returns in native memory, whatever its type: dicts of tensors, lists of packed weights.
   * The caller disposes of it.
   * @throws NeuronBlipError as `TorchModule.call`.
   */
  keep(
    name: string,
    inputs: readonly (FunctionInput | undefined)[],
    { executor = this.#executor, quantizedEngine }: FunctionCallOptions = {},
  ): Promise<TorchValue> {
    return this.#calls.run(async () => {
      try {
        const given = checkedInputs(this.name, this.functions, name, inputs);
        const kept = await executor.run((thread) =>
          native().keepFunction(thread, this.#handle, name, given, quantizedEngine),
        );
        return new TorchValue(kept, executor);
      } catch (error) {
        throw callError(this.name, fromNative(error));
      }
    });
  }

  /**
   * Gives the functions as one model's.
   * @param binding.path of the model, for messages. @param binding.executor where they run.
   * @param binding.first what each call begins with. @param binding.last what it ends with.
   */
  bind({ path, executor, first, last }: FunctionsBinding): BoundFunctions {
    const call = (name: string, inputs: readonly Tensor[]) =>
      this.call(name, [...first, ...inputs, ...last], { executor });
    return {
      path,
      call,
      part: (name, inputsOf) => {
        return { path, batchSizes: [1], forward: (inputs) => call(name, inputsOf?.(inputs) ?? inputs) };
      },
    };
  }

  /**
   * Frees the functions when the calls made before are done, and what memory those have left; later calls get `DISPOSED`. May be
   * called twice.
   */
  dispose(): Promise<void> {
    return this.#calls.close(() =>
      onThreadOf(this.#executor, async (executor) => {
        await native().releaseFunctions(executor.handle, this.#handle);
        await executor.returnFreedMemory();
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
