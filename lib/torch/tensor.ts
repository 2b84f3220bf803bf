import { types } from "node:util";
import { NeuronBlipError } from "../errors.js";
import { type OwnFloat32Array, type OwnUint8Array, shown } from "../util/values.js";
import { type Dtype, fromNative, native, type TensorHandle } from "./native.js";

export type { Dtype } from "./native.js";

/** The typed array that shows each dtype. The two half types have none on Node 20: their bits are shown as Uint16Array. */
const arrayTypes = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const satisfies Record<Dtype, unknown>;

/** Over an ArrayBuffer each: see OwnFloat32Array. */
interface OwnArrays {
  float32: OwnFloat32Array;
  float64: ReturnType<Float64ArrayConstructor["of"]>;
  float16: ReturnType<Uint16ArrayConstructor["of"]>;
  bfloat16: ReturnType<Uint16ArrayConstructor["of"]>;
  int64: ReturnType<BigInt64ArrayConstructor["of"]>;
  int32: ReturnType<Int32ArrayConstructor["of"]>;
  int16: ReturnType<Int16ArrayConstructor["of"]>;
  int8: ReturnType<Int8ArrayConstructor["of"]>;
  uint8: OwnUint8Array;
  bool: OwnUint8Array;
}

/** The typed array that is a tensor's `data`, by its dtype. */
export type TensorData<D extends Dtype = Dtype> = OwnArrays[D];

/** A typed array that a tensor can be made from, over any buffer. */
export type TensorSource =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** The dtype that an array type stands for where none is named. */
export type DefaultDtype<A> = A extends Float32Array
  ? "float32"
  : A extends Float64Array
    ? "float64"
    : A extends BigInt64Array
      ? "int64"
      : A extends Int32Array
        ? "int32"
        : A extends Int16Array
          ? "int16"
          : A extends Int8Array
            ? "int8"
            : A extends Uint8Array
              ? "uint8"
              : Dtype;

/** The dtype that an array stands for where none is given, by the name of its type: each realm has types of its own. */
const defaultDtypes = new Map<string, Dtype>([
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
  ["BigInt64Array", "int64"],
  ["Int32Array", "int32"],
  ["Int16Array", "int16"],
  ["Int8Array", "int8"],
  ["Uint8Array", "uint8"],
]);

/** A handle of the memory that an ArrayBuffer shows, which lives as long as the buffer does, whichever tensor is disposed. */
const owners = new WeakMap<ArrayBufferLike, TensorHandle>();

/** The addon's handle of a tensor. For this package's own use. @throws NeuronBlipError `DISPOSED`. */
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
  #data: TensorData<D> | undefined;
  #disposed = false;

  static {
    handleOf = (tensor) => {
      if (tensor.#disposed) throw new NeuronBlipError("DISPOSED", "This tensor has been disposed. Make a new one.");
      return tensor.#handle;
    };
  }

  /** For this package's own use: see `zeros`, `from` and `view`. */
  constructor(handle: TensorHandle, dtype: D, shape: readonly number[], data?: TensorData<D>) {
    this.#handle = handle;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.size = shape.reduce((product, length) => product * length, 1);
    this.#data = data;
  }

  /**
   * A tensor of zeros.
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
   * A tensor of a typed array's elements. An array over another tensor's memory is used in place, without a copy; any other
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
    if (!shows(array, type)) throw invalid(`dtype "${type}" takes a ${arrayTypes[type].name}, not a ${name}.`);
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
   * Another tensor over part of a tensor's memory, never copied: `array` must be a view of some tensor's `data`
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
   * The elements, in row-major order, over the tensor's memory itself.
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
      this.#data = new arrayTypes[this.dtype](buffer) as TensorData<D>;
    }
    return this.#data;
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

/** The product of a shape. @throws NeuronBlipError `INVALID_INPUT` for a dtype or a shape that is none. */
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

/** Whether an array is of the type that shows a dtype. */
function shows<D extends Dtype>(array: TensorSource, dtype: D): array is TensorData<D> {
  return array[Symbol.toStringTag] === arrayTypes[dtype].name;
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
