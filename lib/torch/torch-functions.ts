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

/** Where functions run, and what each call has besides its own inputs. */
interface Binding {
  /** What messages call it: a model's directory. */
  readonly path: string;
  readonly executor: Executor;
  /** What comes before a call's inputs, such as a model's weights. */
  readonly first: readonly FunctionInput[];
  /** What comes after them. */
  readonly last: readonly FunctionInput[];
}

/** Functions that are bound to a model. */
export type BoundFunctions = Pick<TorchFunctions, "path" | "call" | "part">;

/**
 * TorchScript functions, compiled from a source text when they are loaded.
 *
 * The text may use `torch.NAME` (libtorch's operators, and dtypes), `ops.NAMESPACE.NAME` (any operator that is registered), the dtypes'
 * names (`float32`, `bfloat16`, …, save `bool`: that is `torch.bool`), and the type `PackedLinear` (of quantized.linear_prepack).
 * `if hasattr(ops.NAMESPACE, "NAME"):` is decided when it is compiled: the other branch need not compile.
 */
export class TorchFunctions implements Functions, AsyncDisposable {
  /** What messages call the source. */
  readonly name: string;
  /** What messages call the model that the functions are bound to; else the source. */
  readonly path: string;
  /** What each function takes and returns. */
  readonly functions: Readonly<Record<string, ModuleSignature>>;
  readonly #handle: FunctionsHandle;
  readonly #calls: InFlight;
  readonly #binding: Binding;

  private constructor(
    name: string,
    compiled: { handle: FunctionsHandle; functions: Readonly<Record<string, ModuleSignature>> },
    calls: InFlight,
    binding: Binding,
  ) {
    this.name = name;
    this.path = binding.path;
    this.functions = compiled.functions;
    this.#handle = compiled.handle;
    this.#calls = calls;
    this.#binding = binding;
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
      const compiled = await native().compileFunctions(executor.handle, source);
      const calls = new InFlight(`source "${name}"`);
      return new TorchFunctions(name, compiled, calls, { path: name, executor, first: [], last: [] });
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
    { executor = this.#binding.executor, quantizedEngine }: FunctionCallOptions = {},
  ): Promise<Output> {
    return this.#calls.run(async () => {
      try {
        const { first, last } = this.#binding;
        const given = checkedInputs(this.name, this.functions, name, [...first, ...inputs, ...last]);
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
    { executor = this.#binding.executor, quantizedEngine }: FunctionCallOptions = {},
  ): Promise<TorchValue> {
    return this.#calls.run(async () => {
      try {
        const { first, last } = this.#binding;
        const given = checkedInputs(this.name, this.functions, name, [...first, ...inputs, ...last]);
        const kept = await executor.run((thread) =>
          native().keepFunction(thread, this.#handle, name, given, quantizedEngine),
        );
        return new TorchValue(kept, executor);
      } catch (error) {
        throw callError(this.name, fromNative(error));
      }
    });
  }

  /** Gives the same functions for a model: what is bound needs no disposing. */
  bind(binding: Binding): BoundFunctions {
    return new TorchFunctions(this.name, { handle: this.#handle, functions: this.functions }, this.#calls, binding);
  }

  /** Gives a function as a part, a row at a time. @param inputsOf which of a part's inputs it takes; default: all. */
  part(name: string, inputsOf?: (inputs: readonly Tensor[]) => readonly Tensor[]): Part {
    const forward: Part["forward"] = (inputs) => this.call(name, inputsOf?.(inputs) ?? inputs);
    return { path: this.path, batchSizes: [1], forward };
  }

  /**
   * Frees the functions when the calls made before are done, and what memory those have left; later calls get `DISPOSED`. May be
   * called twice.
   */
  dispose(): Promise<void> {
    return this.#calls.close(() =>
      onThreadOf(this.#binding.executor, async (executor) => {
        await native().releaseFunctions(executor.handle, this.#handle);
        await executor.returnFreedMemory();
      }),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
