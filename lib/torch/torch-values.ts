/** What crosses to libtorch and back: inputs, outputs, and values that stay there. */
import { types } from "node:util";
import { messageOf, NeuronBlipError } from "../errors.js";
import { oneLine, shorten, shown } from "../util/values.js";
import { Executor } from "./executor.js";
import {
  type Dtype,
  fromNative,
  type ModuleSignature,
  type NativeInput,
  type NativeOutput,
  native,
  type ValueHandle,
} from "./native.js";
import { handleOf, Tensor } from "./tensor.js";

/**
 * What a TorchScript module takes: tensors; numbers, bigints (int, of 64 bits), booleans, strings and null (None); arrays (lists and
 * tuples), objects and Maps (dicts), nested.
 */
export type TorchInput =
  | Tensor
  | number
  | bigint
  | boolean
  | string
  | null
  | readonly TorchInput[]
  | { readonly [key: string]: TorchInput }
  | ReadonlyMap<string | number | bigint | boolean, TorchInput>;

/** What a function of TorchFunctions takes: what a module takes, and values that stay in native memory, also within arrays. */
export type FunctionInput = TorchInput | TorchValue | readonly FunctionInput[];

const DEEPEST = 64;
const MOST = 100_000;
const LONGEST_PATH = 200;

/**
 * Converts the inputs of a method or a function to what the addon takes.
 * @param of whose they are, for messages: a file's path, or a source's name.
 * @param signatures of all that could be called.
 * @throws NeuronBlipError `INVALID_INPUT` for a name that is not there, too few or too many inputs, what is no TorchInput, nests more
 * than 64 deep or in a circle, or has more than 100,000 values; `DISPOSED` for a tensor that was disposed.
 */
export function checkedInputs(
  of: string,
  signatures: Readonly<Record<string, ModuleSignature>>,
  name: string,
  inputs: readonly (FunctionInput | undefined)[],
): NativeInput[] {
  const signature = Object.hasOwn(signatures, name) ? signatures[name] : undefined;
  if (signature === undefined) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `"${of}" has no method ${shown(name)}. It has ${Object.keys(signatures).join(", ")}.`,
    );
  }
  if (!Array.isArray(inputs)) {
    throw new NeuronBlipError("INVALID_INPUT", `${name} takes an array of its inputs, such as [Tensor.from(…)].`);
  }
  const declared = signature.inputs;
  const required = declared.filter((input) => !input.optional).length;
  if (inputs.length < required || inputs.length > declared.length) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${name === "forward" ? "" : `${name} of `}"${of}" takes ${declared.length} inputs ` +
        `(${declared.map((input) => input.name).join(", ")}), not ${inputs.length}.`,
    );
  }
  const call = { method: name, count: 0 };
  return declared.slice(0, inputs.length).map(({ name: path }, i) => {
    try {
      return convert(inputs[i], path, 0, call);
    } catch (error) {
      if (error instanceof NeuronBlipError) throw error;
      // The value's own code: a getter, or a proxy.
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The input ${shorten(path, LONGEST_PATH)} of ${name} cannot be read: ${oneLine(messageOf(error), 300)}.`,
        { cause: error },
      );
    }
  });
}

/** A call whose inputs are converted. */
interface Conversion {
  readonly method: string;
  /** How many values its arrays, objects and Maps have brought. */
  count: number;
}

/** Converts one value of a call: copied, so that nothing that JavaScript does later reaches it. @param path of it, for messages. */
function convert(value: unknown, path: string, depth: number, call: Conversion): NativeInput {
  if (value instanceof Tensor) return handleOf(value);
  if (value instanceof TorchValue) return value.handle;
  if (
    typeof value === "number" ||
    typeof value === "bigint" ||
    typeof value === "boolean" ||
    typeof value === "string"
  ) {
    return value;
  }
  if (value === null || (value === undefined && depth === 0)) return value;
  if (typeof value !== "object") {
    throw refused(call, path, `is ${value === undefined ? "undefined" : `a ${typeof value}`}`);
  }
  if (depth >= DEEPEST) throw refused(call, path, `is nested more than ${DEEPEST} deep, or holds itself`);
  if (Array.isArray(value)) return convertAll(value, undefined, path, depth, call);
  if (types.isMap(value)) {
    const keys = Array.from(value.keys(), (key) => {
      if (isKey(key)) return key;
      throw refused(call, path, `has a key of type ${typeof key}`);
    });
    return { keys, items: convertAll([...value.values()], keys, path, depth, call) };
  }
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    throw refused(call, path, "is a typed array or buffer: make a tensor of it with Tensor.from");
  }
  if (!isPlain(value)) throw refused(call, path, `is an object of a class${classOf(value)}`);
  const entries = Object.entries(value);
  const keys = entries.map(([key]) => key);
  const items = entries.map(([, item]) => item);
  return { keys, items: convertAll(items, keys, path, depth, call) };
}

/** Converts the values of an array, an object or a Map. @param keys of the latter two. */
function convertAll(
  items: readonly unknown[],
  keys: readonly unknown[] | undefined,
  path: string,
  depth: number,
  call: Conversion,
): NativeInput[] {
  call.count += items.length;
  if (call.count > MOST) {
    throw refused(call, path, `brings more than ${MOST} values: give many numbers as one tensor`);
  }
  return Array.from(items, (item, i) => convert(item, `${path}[${step(keys ? keys[i] : i)}]`, depth + 1, call));
}

function refused({ method }: Conversion, path: string, how: string): NeuronBlipError {
  return new NeuronBlipError(
    "INVALID_INPUT",
    `The input ${shorten(path, LONGEST_PATH)} of ${method} ${how}. Modules take tensors, numbers, bigints, booleans, strings, null, arrays, plain ` +
      "objects and Maps.",
  );
}

function isKey(key: unknown): key is string | number | bigint | boolean {
  return ["string", "number", "bigint", "boolean"].includes(typeof key);
}

/** Tells whether an object, of any realm, is what object literals and Object.create(null) make. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function classOf(value: object): string {
  const name = value.constructor?.name;
  return typeof name === "string" && name !== "" ? ` (${shorten(name, 60)})` : "";
}

function step(key: unknown): string {
  return typeof key === "string" ? JSON.stringify(shorten(key, 40)) : String(key);
}

/**
 * What a TorchScript module returns: tuples and lists as arrays, string-keyed dicts as objects, None as null. An int is a number, or a
 * bigint where a number cannot hold it (beyond `Number.MAX_SAFE_INTEGER`).
 */
export type TorchOutput =
  | Tensor
  | number
  | bigint
  | boolean
  | string
  | null
  | TorchOutput[]
  | { [key: string]: TorchOutput };

/** Converts the addon's outputs to JavaScript. */
export function fromOutput(output: NativeOutput): TorchOutput {
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

/** A compiled shape; where the part takes any size along a dimension, that is "any". */
export type ShapePattern = readonly (number | "any")[];

/**
 * Checks what a caller gave as a tensor.
 * @param dtype that it must have, or several of which it must have one.
 * @param shape that was compiled for; or a number of dimensions, of which the first is then not 0.
 * @throws NeuronBlipError `INVALID_INPUT`.
 */
export function checkInput<D extends Dtype>(
  name: string,
  tensor: Tensor,
  dtype: D | readonly D[],
  shape: ShapePattern | number,
): asserts tensor is Tensor<D> {
  const dtypes: readonly Dtype[] = [dtype].flat();
  const isTensor = tensor instanceof Tensor;
  if (typeof shape === "number") {
    if (isTensor && dtypes.includes(tensor.dtype) && tensor.shape.length === shape && tensor.shape[0] !== 0) return;
    const must = `a ${dtypes.join(" or ")} tensor of ${shape} dimensions`;
    throw new NeuronBlipError("INVALID_INPUT", `${name} must be ${must}, not ${inWords(tensor)}.`);
  }
  const fits = isTensor && tensor.shape.length === shape.length;
  if (fits && dtypes.includes(tensor.dtype) && shape.every((size, i) => size === "any" || tensor.shape[i] === size))
    return;
  const must = isTensor ? `${dtypes.join(" or ")} [${shape.join(", ")}]` : "a Tensor";
  throw new NeuronBlipError("INVALID_INPUT", `${name} must be ${must}, not ${inWords(tensor)}.`);
}

/** Says what was given in place of a tensor that fits. */
export function inWords(value: unknown): string {
  if (value instanceof Tensor) return `${value.dtype} [${value.shape.join(", ")}]`;
  // Another copy's tensors have another addon's memory.
  if (typeof value === "object" && value !== null && value.constructor?.name === "Tensor" && "dtype" in value) {
    return "a Tensor of another copy of neuron-blip: load the package once in a process (`npm ls neuron-blip` lists the copies)";
  }
  return shown(value);
}

/**
 * Returns a tensor of an output: the output itself, or its entry of that name (a dict) or index (a tuple).
 * @param dtype default "float32".
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` where something else was returned.
 */
export function tensorFrom(output: TorchOutput, name: string, index: number, path: string): Tensor<"float32">;
export function tensorFrom(output: TorchOutput, name: string, index: number, path: string, dtype: Dtype): Tensor;
export function tensorFrom(
  output: TorchOutput,
  name: string,
  index: number,
  path: string,
  dtype: Dtype = "float32",
): Tensor {
  let found: TorchOutput | undefined = output;
  if (Array.isArray(output)) found = output[index];
  else if (typeof output === "object" && output !== null && !(output instanceof Tensor)) found = output[name];
  if (found instanceof Tensor && found.dtype === dtype) return found;
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" did not return a ${dtype} tensor "${name}": it is not the part that its name says, or was compiled with ` +
      "outputs of another precision.",
  );
}

/**
 * A value of TorchScript that lives in native memory, whatever its type: what a function made (`TorchFunctions.keep`), or a file's
 * tensors (`openTensors`). It may be an input of any function on any executor of the process, of several at once; no function may
 * change it while another reads it.
 */
export class TorchValue implements AsyncDisposable {
  /** The addon's. */
  readonly handle: ValueHandle;
  readonly #executor: Executor;
  #disposed: Promise<void> | undefined;

  /** @param executor the thread that frees it. */
  constructor(handle: ValueHandle, executor: Executor) {
    this.handle = handle;
    this.#executor = executor;
  }

  /** Frees the value when the calls made before are done; calls made later get `DISPOSED`. May be called twice. */
  dispose(): Promise<void> {
    this.#disposed ??= onThreadOf(this.#executor, ({ handle }) => native().releaseValue(handle, this.handle));
    return this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Frees on an executor's thread, since to unmap gigabytes takes a while; on one of its own where that executor is closed. */
export async function onThreadOf(executor: Executor, free: (executor: Executor) => Promise<void>): Promise<void> {
  try {
    if (!executor.isClosed) {
      await free(executor);
      return;
    }
    await using another = new Executor();
    await free(another);
  } catch (error) {
    throw fromNative(error);
  }
}
