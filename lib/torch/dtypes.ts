/** The types of a tensor's elements, and the typed arrays that show them. */
import type { OwnFloat32Array, OwnUint8Array } from "../util/values.js";
import type { Dtype } from "./native.js";

export type { Dtype } from "./native.js";

/** The typed array that shows each dtype. The two half types have none on Node 20: their bits are shown as Uint16Array. */
export const arrayTypes = {
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
export const defaultDtypes = new Map<string, Dtype>([
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
  ["BigInt64Array", "int64"],
  ["Int32Array", "int32"],
  ["Int16Array", "int16"],
  ["Int8Array", "int8"],
  ["Uint8Array", "uint8"],
]);
