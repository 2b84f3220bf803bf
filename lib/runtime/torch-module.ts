import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { NeuronBlipError } from "../errors.js";
import { fromNative, type ModuleHandle, type ModuleSignature, type NativeOutput, native } from "../native.js";
import { handleOf, Tensor } from "../tensor.js";
import { Executor } from "./executor.js";

export type { ModuleSignature } from "../native.js";

/** What a TorchScript module returns: tuples and lists as arrays, string-keyed dicts as objects, None as null. */
export type TorchOutput = Tensor | number | boolean | string | null | TorchOutput[] | { [key: string]: TorchOutput };

export interface TorchModuleOptions {
  /** The thread to load and run on. Default: one of the module's own, closed when it is disposed. */
  executor?: Executor;
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
  readonly signature: ModuleSignature;
  readonly #handle: ModuleHandle;
  readonly #ownExecutor: Executor | undefined;
  #disposed: Promise<void> | undefined;

  private constructor(path: string, handle: ModuleHandle, signature: ModuleSignature, ownExecutor?: Executor) {
    this.path = path;
    this.signature = signature;
    this.#handle = handle;
    this.#ownExecutor = ownExecutor;
  }

  /**
   * Loads a TorchScript file on the executor's thread.
   * @param path a path or a `file:` URL.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`; `ARTIFACT_CORRUPT` for a file that is no TorchScript module;
   * `NEURON_RUNTIME_NOT_FOUND` for one compiled for AWS Neuron on a host without it; why the addon does not load.
   */
  static async load(path: string | URL, options: TorchModuleOptions = {}): Promise<TorchModule> {
    const file = path instanceof URL ? fileURLToPath(path) : path;
    const found = await stat(file).catch((cause) => {
      throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `There is no file "${file}".`, { cause });
    });
    if (!found.isFile()) throw new NeuronBlipError("ARTIFACT_NOT_FOUND", `"${file}" is not a file.`);
    const ownExecutor = options.executor ? undefined : new Executor();
    const executor = options.executor ?? ownExecutor;
    try {
      const { handle, signature } = await native().loadModule((executor as Executor).handle, file);
      return new TorchModule(file, handle, signature, ownExecutor);
    } catch (error) {
      await ownExecutor?.close();
      throw fromNative(error);
    }
  }

  /**
   * Runs the module's `forward` on its executor's thread; calls run in order.
   * @param inputs the positional inputs.
   * @typeParam Output what the module returns, where that is known: `forward<Tensor>(…)`.
   * @returns tensors over the memory that libtorch made, not copied.
   * @throws NeuronBlipError `INVALID_INPUT` where the number of inputs does not fit the signature; `EXECUTION_FAILED` with
   * libtorch's reason where the module throws, as it does for wrong shapes and dtypes; `DISPOSED`.
   */
  async forward<Output extends TorchOutput = TorchOutput>(inputs: readonly Tensor[]): Promise<Output> {
    if (this.#disposed) {
      throw new NeuronBlipError("DISPOSED", `The module "${this.path}" has been disposed. Load it again.`);
    }
    this.#checkInputs(inputs);
    const handles = inputs.map(handleOf);
    try {
      return fromOutput(await native().forwardModule(this.#handle, handles)) as Output;
    } catch (error) {
      throw forwardError(this.path, fromNative(error));
    }
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
    try {
      await native().releaseModule(this.#handle);
    } catch (error) {
      throw fromNative(error);
    }
    await this.#ownExecutor?.close();
  }

  #checkInputs(inputs: readonly Tensor[]): void {
    if (!Array.isArray(inputs) || !inputs.every((input) => input instanceof Tensor)) {
      throw new NeuronBlipError("INVALID_INPUT", "forward takes an array of Tensor objects.");
    }
    const declared = this.signature.inputs;
    const required = declared.filter((input) => !input.optional).length;
    if (inputs.length < required || inputs.length > declared.length) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `"${this.path}" takes ${declared.length} inputs (${declared.map(({ name }) => name).join(", ")}), not ${inputs.length}.`,
      );
    }
  }
}

/** libtorch's message ends with the reason; before it comes a trace through the module's code, which stays in the cause. */
function forwardError(path: string, error: NeuronBlipError): NeuronBlipError {
  if (error.code !== "EXECUTION_FAILED") return error;
  const reason = error.message.trimEnd().split("\n").at(-1) ?? "";
  return new NeuronBlipError(error.code, `"${path}" failed: ${reason}`, { cause: error.cause });
}

function fromOutput(output: NativeOutput): TorchOutput {
  switch (output.kind) {
    case "tensor":
      return new Tensor(output.handle, output.dtype, output.shape);
    case "list":
      return output.items.map(fromOutput);
    case "dict":
      return Object.fromEntries(output.items.map((item, i) => [output.keys[i], fromOutput(item)]));
    case "value":
      return output.value;
  }
}
