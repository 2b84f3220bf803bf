import { types } from "node:util";
import { messageOf, NeuronBlipError } from "../errors.js";
import { oneLine, shorten, shown } from "../util/values.js";
import type { ModuleSignature, NativeInput } from "./native.js";
import { handleOf, Tensor } from "./tensor.js";
import { handleOfValue, TorchValue } from "./torch-value.js";

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
 * The inputs of a method or a function as the addon takes them.
 * @param of whose they are, for messages: a file's path, or a source's name.
 * @param signatures of all that could be called.
 * @throws NeuronBlipError `INVALID_INPUT` for a name that is not there, too few or too many inputs, and as `nativeInputs`.
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
  return nativeInputs(
    name,
    inputs,
    declared.map((input) => input.name),
  );
}

/**
 * A call's inputs as the addon takes them: copies, so that nothing that JavaScript does later reaches them.
 * @param names of the inputs, for messages.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no TorchInput, nests more than 64 deep or in a circle, or has more than 100,000
 * values; `DISPOSED` for a tensor that was disposed.
 */
function nativeInputs(
  method: string,
  inputs: readonly (FunctionInput | undefined)[],
  names: readonly string[],
): NativeInput[] {
  let count = 0;
  const convert = (value: unknown, path: string, depth: number): NativeInput => {
    if (value instanceof Tensor) return handleOf(value);
    if (value instanceof TorchValue) return handleOfValue(value);
    if (value === null || typeof value !== "object") {
      if (typeof value !== "function" && typeof value !== "symbol" && (value !== undefined || depth === 0)) {
        return value as NativeInput;
      }
      throw refused(path, `is ${value === undefined ? "undefined" : `a ${typeof value}`}`);
    }
    if (depth >= DEEPEST) {
      throw refused(path, `is nested more than ${DEEPEST} deep, or holds itself`);
    }
    const children = (items: readonly unknown[], keys?: readonly unknown[]): NativeInput[] => {
      count += items.length;
      if (count > MOST) throw refused(path, `brings more than ${MOST} values: give many numbers as one tensor`);
      return Array.from(items, (item, i) => convert(item, `${path}[${step(keys ? keys[i] : i)}]`, depth + 1));
    };
    if (Array.isArray(value)) return children(value);
    if (types.isMap(value)) {
      const keys = [...value.keys()].map((key) => {
        if (isKey(key)) return key;
        throw refused(path, `has a key of type ${typeof key}`);
      });
      return { keys, items: children([...value.values()], keys) };
    }
    if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
      throw refused(path, "is a typed array or buffer: make a tensor of it with Tensor.from");
    }
    if (!isPlain(value)) throw refused(path, `is an object of a class${classOf(value)}`);
    const entries = Object.entries(value);
    const keys = entries.map(([key]) => key);
    return {
      keys,
      items: children(
        entries.map(([, item]) => item),
        keys,
      ),
    };
  };
  return inputs.map((input, i) => {
    const path = names[i] ?? String(i);
    try {
      return convert(input, path, 0);
    } catch (error) {
      if (error instanceof NeuronBlipError) throw error;
      // The value's own code: a getter, or a proxy.
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The input ${shorten(path, LONGEST_PATH)} of ${method} cannot be read: ${oneLine(messageOf(error), 300)}.`,
        { cause: error },
      );
    }
  });

  function refused(path: string, how: string): NeuronBlipError {
    return new NeuronBlipError(
      "INVALID_INPUT",
      `The input ${shorten(path, LONGEST_PATH)} of ${method} ${how}. Modules take tensors, numbers, bigints, booleans, strings, null, arrays, plain ` +
        "objects and Maps.",
    );
  }
}

function isKey(key: unknown): key is string | number | bigint | boolean {
  return ["string", "number", "bigint", "boolean"].includes(typeof key);
}

/** Of any realm: what object literals and Object.create(null) make. */
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
