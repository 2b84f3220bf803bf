/** Tensors, and their rows. */
import { types } from "node:util";
import { NeuronBlipError } from "../errors.js";
import { shown } from "../util/values.js";
import {
  arrayTypes,
  type DefaultDtype,
  type Dtype,
  defaultDtypes,
  type TensorData,
  type TensorSource,
} from "./dtypes.js";
import { fromNative, native, type TensorHandle } from "./native.js";

export type { Dtype, TensorData, TensorSource } from "./dtypes.js";

/** A handle of the memory that an ArrayBuffer shows, which lives as long as the buffer does, whichever tensor is disposed. */
const owners = new WeakMap<ArrayBufferLike, TensorHandle>();

/** Returns the addon's handle of a tensor. For this package's own use. @throws NeuronBlipError `DISPOSED`. */
let handleOf: (tensor: Tensor) => TensorHandle;

/**
 * A dense tensor on the CPU, in native memory that JavaScript and libtorch share without copies.
 *
 * `data` is a typed array over the memory itself: what is written there is what the next `forward` reads, and what a module
 * returned is read in place. The memory lives as long as anything uses it: the tensor, a typed array, or a forward that is
 * running. Do not write to `data` while a forward that takes the tensor is under way: it would read a mixture.
 */
export class Tensor<D extends Dtype = Dtype> implements Disposable {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** How many elements: the product of the shape, 1 for a scalar. */
  readonly size: number;
  readonly #handle: TensorHandle;
  #data: TensorSource | undefined;
  #disposed = false;

  static {
    handleOf = (tensor) => {
      if (tensor.#disposed) throw new NeuronBlipError("DISPOSED", "This tensor has been disposed. Make a new one.");
      return tensor.#handle;
    };
  }

  /** For this package's own use: see `zeros`, `from` and `view`. */
  constructor(handle: TensorHandle, dtype: D, shape: readonly number[], data?: TensorSource) {
    this.#handle = handle;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.size = shape.reduce((product, length) => product * length, 1);
    this.#data = data;
  }

  /**
   * Makes a tensor of zeros.
   * @throws NeuronBlipError `INVALID_INPUT` for an unknown dtype or a shape that is not of whole numbers >= 0.
   */
  static zeros<D extends Dtype>(dtype: D, shape: readonly number[]): Tensor<D> {
    elementCount(dtype, shape);
    return new Tensor(
      guarded(() => native().createTensor(dtype, shape)),
      dtype,
      shape,
    );
  }

  /**
   * Makes a tensor of a typed array's elements. An array over another tensor's memory is used in place, without a copy; any other
   * is copied once, so that nothing done to it later can reach a running forward.
   * @param dtype by default the array's own (Uint8Array is "uint8"); "bool" over Uint8Array, "float16" and "bfloat16" over
   * Uint16Array must be named.
   * @throws NeuronBlipError `INVALID_INPUT` where dtype, shape and length disagree, or the buffer is detached or resizable.
   */
  static from<A extends TensorSource, D extends Dtype = DefaultDtype<A>>(
    array: A,
    shape: readonly number[],
    dtype?: D,
  ): Tensor<D> {
    if (!types.isTypedArray(array)) {
      throw invalid(`A tensor is made from a typed array, such as Float32Array, not ${shown(array)}.`);
    }
    const name = array[Symbol.toStringTag]; // of whatever realm and subclass it is: that of a Buffer is "Uint8Array"
    const type = dtype ?? (defaultDtypes.get(name) as D | undefined);
    if (type === undefined) throw invalid(`${name} does not say its dtype by itself: name one, such as "float16".`);
    const count = elementCount(type, shape);
    if (name !== arrayTypes[type].name)
      throw invalid(`dtype "${type}" takes a ${arrayTypes[type].name}, not a ${name}.`);
    if (array.length === 0 && isDetached(array.buffer)) {
      throw invalid("The array's buffer is detached: it was transferred elsewhere.");
    }
    const { resizable, growable } = array.buffer as { resizable?: boolean; growable?: boolean };
    if (resizable || growable) throw invalid("The array's buffer is resizable: copy it to one of fixed length first.");
    if (array.length !== count) {
      throw invalid(`The shape ${shown(shape)} has ${count} elements, the array ${array.length}.`);
    }
    const owner = owners.get(array.buffer);
    const handle = guarded(() => {
      const addon = native();
      return owner ? addon.viewTensor(owner, array.byteOffset, type, shape) : addon.copyTensor(array, type, shape);
    });
    return new Tensor(handle, type, shape, owner && array);
  }

  /**
   * Makes another tensor over part of a tensor's memory, never copied: `array` must be a view of some tensor's `data`
   * (such as `tensor.data.subarray(…)`).
   * @throws NeuronBlipError `INVALID_INPUT` for an array over any other memory, and where dtype, shape and length disagree.
   */
  static view<A extends TensorSource, D extends Dtype = DefaultDtype<A>>(
    array: A,
    shape: readonly number[],
    dtype?: D,
  ): Tensor<D> {
    if (types.isTypedArray(array) && !owners.has(array.buffer)) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        "Tensor.view takes an array over a tensor's memory; this one is over memory of its own. Use Tensor.from, which copies.",
      );
    }
    return Tensor.from(array, shape, dtype);
  }

  /**
   * Returns the elements, in row-major order, over the tensor's memory itself.
   * @throws NeuronBlipError `DISPOSED`.
   */
  get data(): TensorData<D> {
    const handle = handleOf(this);
    // An array whose buffer was transferred elsewhere has no elements any more.
    if (this.#data?.length !== this.size) {
      const [buffer, owner] = guarded(() => {
        const addon = native();
        return [addon.tensorBuffer(handle), addon.viewTensor(handle, 0, this.dtype, this.shape)];
      });
      owners.set(buffer, owner);
      this.#data = new arrayTypes[this.dtype](buffer);
    }
    return this.#data as TensorData<D>; // of that type, over memory of the addon's
  }

  /**
   * Gives the memory back now rather than when it is collected. Arrays taken from `data` before, and forwards under way,
   * stay valid; using the tensor afterwards throws `DISPOSED`. May be called twice.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#data = undefined;
    guarded(() => native().releaseTensor(this.#handle));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

export { handleOf };

/** Runs a call of the addon; what it throws becomes a NeuronBlipError. */
function guarded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}

/** Returns the product of a shape. @throws NeuronBlipError `INVALID_INPUT` for a dtype or a shape that is none. */
function elementCount(dtype: Dtype, shape: readonly number[]): number {
  if (!Object.hasOwn(arrayTypes, dtype)) {
    throw invalid(`Unknown dtype ${shown(dtype)}. Use one of ${Object.keys(arrayTypes).join(", ")}.`);
  }
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw invalid(`A shape is an array of whole numbers >= 0, not ${shown(shape)}.`);
  }
  const count = shape.reduce((product, size) => product * size, 1);
  if (count > 2 ** 40) throw invalid(`The shape ${shown(shape)} has more elements than any machine has memory for.`);
  return count;
}

function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true; // Node 20 has no `detached` property
  }
}

/**
 * Takes a tensor apart along its first dimension.
 * @param memory "shared" (default): over the tensor's; "own": copies, so that one can be kept without the others.
 * @returns rows of [1, …]; of a tensor of one row the tensor itself.
 */
export function rowsOf<D extends Dtype>(tensor: Tensor<D>, memory: "shared" | "own" = "shared"): Tensor<D>[] {
  const [count = 0, ...rest] = tensor.shape;
  if (count === 1) return [tensor];
  const size = rest.reduce((product, length) => product * length, 1);
  const shape = [1, ...rest];
  return Array.from({ length: count }, (_, i) => {
    const row = tensor.data.subarray(i * size, (i + 1) * size);
    if (memory === "shared") return Tensor.view(row, shape, tensor.dtype);
    return new Tensor(
      guarded(() => native().copyTensor(row, tensor.dtype, shape)),
      tensor.dtype,
      shape,
    );
  });
}

/**
 * Copies a tensor's rows into arrays of JavaScript's own: where there are many small ones, tensors' handles would wait for a whole
 * collection.
 */
export function rowArraysOf({ data, shape: [count = 1] }: Tensor<"float32">): Float32Array[] {
  const size = data.length / count;
  return Array.from({ length: count }, (_, i) => data.slice(i * size, (i + 1) * size));
}

/**
 * Makes one tensor of a compiled batch size from rows of [1, …]. A batch of one is the row itself; otherwise the rows are copied,
 * and rows that are missing are filled with the last one, whose result the caller ignores.
 * @param shorter whether rows that are shorter than others are filled up with zeros. Default: they are refused.
 * @throws NeuronBlipError `INVALID_INPUT` for rows of different shapes.
 */
export function stackRows<D extends Dtype>(
  rows: readonly Tensor<D>[],
  batchSize: number,
  shorter: "refused" | "filled" = "refused",
): Tensor<D> {
  const [first] = rows;
  if (first === undefined) throw new TypeError("A batch has rows.");
  if (batchSize === 1) return first;
  const longest = rows.reduce((one, other) => (other.size > one.size ? other : one));
  const stacked = Tensor.zeros(first.dtype, [batchSize, ...longest.shape.slice(1)]);
  const bytes = bytesOf(stacked);
  let row = first;
  for (let i = 0; i < batchSize; i++) {
    row = rows[i] ?? row;
    // Copied all the same, a smaller one would leave zeros behind it, and give a wrong answer where no mask leaves them out.
    if (row.size !== first.size && shorter === "refused") {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The rows of one batch must have one shape, not [${first.shape.join(", ")}] and [${row.shape.join(", ")}].`,
      );
    }
    bytes.set(bytesOf(row), (i * bytes.length) / batchSize);
  }
  return stacked;
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Splits rows into as few compiled batches as there can be.
 * @param sizes the compiled batch sizes, increasing.
 * @returns runs of rows, each with the size to run it in: the largest, and for what is left the smallest that holds it.
 */
export function batchesOf<T>(rows: readonly T[], sizes: readonly number[]): { rows: T[]; size: number }[] {
  const largest = sizes.at(-1) ?? 1;
  const batches: { rows: T[]; size: number }[] = [];
  for (let at = 0; at < rows.length; at += largest) {
    const batch = rows.slice(at, at + largest);
    batches.push({ rows: batch, size: sizes.find((size) => size >= batch.length) ?? largest });
  }
  return batches;
}

/** Makes an int64 tensor of lists of numbers, each filled up to one width. */
export function paddedRows(rows: readonly (readonly number[])[], width: number, filler: number): Tensor<"int64"> {
  const values = new BigInt64Array(rows.length * width).fill(BigInt(filler));
  for (const [i, row] of rows.entries()) values.set(row.slice(0, width).map(BigInt), i * width);
  return Tensor.from(values, [rows.length, width]);
}

/** Makes an attention mask, int64 [rows, width]. @param attended how many positions of each row count, from the first on. */
export function attentionMaskOf(attended: readonly number[], width: number): Tensor<"int64"> {
  const mask = new BigInt64Array(attended.length * width);
  for (const [i, count] of attended.entries()) mask.fill(1n, i * width, i * width + count);
  return Tensor.from(mask, [attended.length, width]);
}
