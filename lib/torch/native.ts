/**
 * The only file that touches the addon's binary. It types the whole surface by hand, loads the binary on first use, and
 * turns what the binary throws into NeuronBlipError.
 */
// Not createRequire by itself: webpack puts undefined in place of what it makes.
import nodeModule from "node:module";
import { isMainThread } from "node:worker_threads";
import { codeOf, messageOf, NeuronBlipError, type NeuronBlipErrorCode } from "../errors.js";
import type { OwnFloat32Array } from "../util/values.js";
import { binaryHost, type ChosenBinary, chooseBinary } from "./binary/choose-binary.js";
import { checkAddonFile, checkLibtorchFile, explainLibtorchError, explainLoadError } from "./load-error.js";

declare const kind: unique symbol;
/** Opaque, tagged objects: the addon refuses a handle of another kind. */
export type TensorHandle = { readonly [kind]: "Tensor" };
export type ExecutorHandle = { readonly [kind]: "Executor" };
export type ModuleHandle = { readonly [kind]: "TorchModule" };
export type FunctionsHandle = { readonly [kind]: "TorchFunctions" };
export type ValueHandle = { readonly [kind]: "TorchValue" };

export type Dtype =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int64"
  | "int32"
  | "int16"
  | "int8"
  | "uint8"
  | "bool";

export type NativeOutput =
  | { kind: "tensor"; handle: TensorHandle; dtype: Dtype; shape: number[] }
  | { kind: "list"; items: NativeOutput[] }
  | { kind: "dict"; keys: string[]; items: NativeOutput[] }
  | { kind: "value"; value: number | bigint | boolean | string | null };

/** What quantised weights are packed for, and then run by: fbgemm's kernels are the quicker for few rows, oneDNN's for many. */
export type QuantizedEngine = "fbgemm" | "x86" | "onednn" | "qnnpack";

/** An input of a module's method or a function; a dict is its keys and, in step with them, its items. undefined is the argument's default. */
export type NativeInput =
  | TensorHandle
  | ValueHandle
  | number
  | bigint
  | boolean
  | string
  | null
  | undefined
  | readonly NativeInput[]
  | { readonly keys: readonly (string | number | bigint | boolean)[]; readonly items: readonly NativeInput[] };

/** What a module's method, or a function, takes and returns, as TorchScript declares it. */
export interface ModuleSignature {
  /** `type` is TorchScript's, such as "Tensor". */
  readonly inputs: readonly { readonly name: string; readonly type: string; readonly optional: boolean }[];
  /** TorchScript's types, such as "Tensor", "Tuple[Tensor, Tensor]" or "Dict[str, Tensor]". */
  readonly outputs: readonly string[];
}

export interface Native {
  readonly libtorchVersion: string;
  /** The value of _GLIBCXX_USE_CXX11_ABI that libtorch and the addon were built with. */
  readonly cxx11Abi: number;

  createTensor(dtype: Dtype, shape: readonly number[]): TensorHandle;
  copyTensor(array: ArrayBufferView, dtype: Dtype, shape: readonly number[]): TensorHandle;
  viewTensor(owner: TensorHandle, byteOffset: number, dtype: Dtype, shape: readonly number[]): TensorHandle;
  tensorBuffer(tensor: TensorHandle): ArrayBuffer;
  releaseTensor(tensor: TensorHandle): void;

  createExecutor(threads: number): ExecutorHandle;
  closeExecutor(executor: ExecutorHandle): Promise<void>;
  /** Gives the freed memory that libtorch and malloc keep for later back to the system. */
  returnFreedMemory(executor: ExecutorHandle): Promise<void>;

  /**
   * Resolves to the module and what each of its methods takes and returns; `forward` is always one.
   * @param core of a module for Neuron: the visible core that it shall come to, or -1 for any; undefined for other modules.
   * `placed`: whether it came to that core as it was loaded; where not, `placeModule` puts it there.
   */
  loadModule(
    executor: ExecutorHandle,
    path: string,
    core: number | undefined,
  ): Promise<{ handle: ModuleHandle; methods: Readonly<Record<string, ModuleSignature>>; placed: boolean }>;
  /** Tells whether a TorchScript file's code names AWS Neuron's classes or ops. */
  inspectModule(executor: ExecutorHandle, path: string): Promise<boolean>;
  /** Lists what a ZIP archive holds: of each record its name, where its bytes begin, and how many there are when it is unpacked. */
  listRecords(executor: ExecutorHandle, path: string): Promise<{ name: string; offset: number; size: number }[]>;
  /** Puts a module's Neuron graphs on `count` of the visible cores; resolves to how many could be put anywhere. */
  placeModule(module: ModuleHandle, start: number, count: number): Promise<number>;
  callModule(
    executor: ExecutorHandle,
    module: ModuleHandle,
    method: string,
    inputs: readonly NativeInput[],
  ): Promise<NativeOutput>;
  releaseModule(module: ModuleHandle): Promise<void>;

  /** Compiles functions from a source text in TorchScript; see native/source_resolver.h for the names that it may use. */
  compileFunctions(
    executor: ExecutorHandle,
    source: string,
  ): Promise<{ handle: FunctionsHandle; functions: Readonly<Record<string, ModuleSignature>> }>;
  /** Calls a function. @param engine for what the function packs; undefined leaves libtorch's own choice. */
  callFunction(
    executor: ExecutorHandle,
    functions: FunctionsHandle,
    name: string,
    inputs: readonly NativeInput[],
    engine: QuantizedEngine | undefined,
  ): Promise<NativeOutput>;
  /** Calls a function as `callFunction` does; what it returns stays in native memory, whatever its type. */
  keepFunction(
    executor: ExecutorHandle,
    functions: FunctionsHandle,
    name: string,
    inputs: readonly NativeInput[],
    engine: QuantizedEngine | undefined,
  ): Promise<ValueHandle>;
  releaseFunctions(executor: ExecutorHandle, functions: FunctionsHandle): Promise<void>;
  /** Makes tensors over a file's bytes, by their names: a value of TorchScript's type Dict[str, Tensor]. */
  openTensors(
    executor: ExecutorHandle,
    path: string,
    entries: readonly { name: string; dtype: Dtype; shape: readonly number[]; offset: number }[],
  ): Promise<ValueHandle>;
  releaseValue(executor: ExecutorHandle, value: ValueHandle): Promise<void>;
  /** Tells whether this CPU calculates in bfloat16. */
  hasBfloat16(): boolean;
  /** Tells whether libtorch has an engine of quantised linears for this CPU. FBGEMM's alone has weights in 16-bit floats. */
  hasQuantizedEngine(name: QuantizedEngine): boolean;

  /**
   * Turns a picture by its EXIF orientation, resizes it as Pillow's bicubic filter does, and looks its samples up in a table
   * of 256 values for each of red, green and blue. It keeps its thread busy: it is for Workers.
   * @param pixels packed RGB or RGBA (alpha ignored), as stored
   * @returns [3, outHeight, outWidth]
   */
  preparePixels(
    pixels: Uint8Array,
    width: number,
    height: number,
    channels: 3 | 4,
    orientation: number,
    outWidth: number,
    outHeight: number,
    tables: Float32Array,
  ): OwnFloat32Array;

  /**
   * Takes one of so many places that all threads of the process share, whichever copy of this package they have loaded. A Worker
   * that ends gives back what it has.
   * @returns false where all are taken.
   */
  takeProcessPlace(limit: number): boolean;
  /** Gives back a place that this thread has taken. */
  leaveProcessPlace(): void;

  /** Loads a shared library for as long as the process lives. */
  loadLibrary(path: string): void;
  /** Reads what a libnrt.so.1 says of itself, without claiming a core; -1 and "" for what it does not say. */
  describeNrt(path: string): { version: string; totalCores: number; visibleCores: number };
  /** Sets a variable that libraries see, in a Worker too. */
  setEnvironment(name: string, value: string): void;

  /**
   * Stops and joins every thread of this environment, or of the process, which is about to exit with that code. One that goes on for
   * more than 5 s is given up. Later work is refused with DISPOSED.
   */
  shutdown(exitCode: number, isProcess: boolean): void;
}

let chosen: ChosenBinary | undefined;
let loaded: Native | undefined;

/** Returns the addon, and the libtorch that it is loaded with: chosen once. @throws NeuronBlipError as `native` does. */
export function chosenBinary(): ChosenBinary {
  if (chosen !== undefined) return chosen;
  const decision = chooseBinary(binaryHost());
  if (decision.chosen === undefined) throw decision.error;
  chosen = decision.chosen;
  return chosen;
}

/**
 * Returns the addon, loaded on first use.
 * @throws NeuronBlipError `ADDON_NOT_BUILT`, `LIBTORCH_NOT_FOUND`, `BUNDLED`.
 */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  const { addon: path, libtorch } = chosenBinary();
  checkAddonFile(path);
  const addon = withShortSpins(() => {
    if (libtorch !== undefined) loadLibtorch(libtorch);
    try {
      return nodeModule.createRequire(path)(path) as Native;
    } catch (error) {
      throw explainLoadError(path, error);
    }
  });
  beforeExit((exitCode) => addon.shutdown(exitCode, isMainThread));
  return addon;
}

/**
 * Has threads stopped when the process, or a Worker, exits: process.exit() and uncaught exceptions do not run the addon's own
 * clean-up, and libtorch's static objects must not be destroyed under a running thread. Before every handler of "exit", which a
 * listener cannot be: one that was put first in line later may itself exit or throw, and none is called after it.
 */
function beforeExit(stop: (exitCode: number) => void): void {
  let areStopped = false;
  const stopOnce = (exitCode: number) => {
    if (!areStopped) stop(exitCode);
    areStopped = true;
  };
  const { emit } = process;
  Reflect.set(process, "emit", function (this: NodeJS.Process, ...event: unknown[]) {
    if (event[0] === "exit") stopOnce(Number(event[1]));
    return Reflect.apply(emit, this, event);
  });
  // Who changed `emit` before, as signal-exit does, and then puts back what he found, takes ours away.
  process.prependListener("exit", stopOnce);
}

/** Loads libtorch by its full path, for an addon that does not say where it is: it finds it in the process by its name. */
function loadLibtorch({ libraries, loader }: NonNullable<ChosenBinary["libtorch"]>): void {
  checkAddonFile(loader);
  for (const library of libraries) checkLibtorchFile(library);
  let load: (path: string) => void;
  try {
    ({ load } = nodeModule.createRequire(loader)(loader) as { load: (path: string) => void });
  } catch (error) {
    throw explainLoadError(loader, error);
  }
  for (const library of libraries) {
    try {
      load(library);
    } catch (error) {
      throw explainLibtorchError(library, error);
    }
  }
}

/**
 * Loads libtorch with its OpenMP threads set to spin less long while they wait than they do by default (300,000 rounds),
 * unless the user has chosen otherwise. Where anything else wants the cores, as on every server, the default can make a
 * small forward a hundred times slower. Of a full-size answer in bf16 on two free cores, 10,000 rounds cost nothing that could
 * be measured and 2,000 a tenth; beside a process that keeps one core busy it takes 1.1 s with 300,000 rounds, 0.87 s with
 * 50,000 and 0.53 s with 10,000.
 * OpenMP reads the variable when it is loaded, so it is put back afterwards. In a Worker, process.env does not reach it.
 */
function withShortSpins<T>(load: () => T): T {
  if (process.env.OMP_WAIT_POLICY !== undefined || process.env.GOMP_SPINCOUNT !== undefined) return load();
  process.env.GOMP_SPINCOUNT = "10000";
  try {
    return load();
  } finally {
    delete process.env.GOMP_SPINCOUNT;
  }
}

/** Returns what the addon threw as a NeuronBlipError: the addon sets `code`. */
export function fromNative(error: unknown): NeuronBlipError {
  if (error instanceof NeuronBlipError) return error;
  const code = (codeOf(error) ?? "EXECUTION_FAILED") as NeuronBlipErrorCode;
  return new NeuronBlipError(code, messageOf(error), { cause: error });
}
