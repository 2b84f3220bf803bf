import { NeuronBlipError } from "../errors.js";
import { type Dtype, Tensor } from "./tensor.js";

/** The rows of a tensor along its first dimension, each [1, …], over the same memory. */
export function rowsOf<D extends Dtype>(tensor: Tensor<D>): Tensor<D>[] {
  const [count = 0, ...rest] = tensor.shape;
  if (count === 1) return [tensor];
  const size = rest.reduce((product, length) => product * length, 1);
  return Array.from({ length: count }, (_, i) => {
    const row = tensor.data.subarray(i * size, (i + 1) * size) as typeof tensor.data;
    return Tensor.view(row, [1, ...rest], tensor.dtype);
  });
}

/** The rows of a tensor along its first dimension, each [1, …] in memory of its own, so that one can be kept alone. */
export function ownRowsOf<D extends Dtype>(tensor: Tensor<D>): Tensor<D>[] {
  if (tensor.shape[0] === 1) return [tensor];
  return rowsOf(tensor).map((row) => {
    const copy = Tensor.zeros(row.dtype, row.shape);
    (copy.data as Float32Array).set(row.data as Float32Array);
    return copy;
  });
}

/**
 * One tensor of a compiled batch size from rows of [1, …]. A batch of one is the row itself; otherwise the rows are copied,
 * and rows that are missing are filled with the last one, whose result the caller ignores.
 * @throws NeuronBlipError `INVALID_INPUT` for rows of different shapes.
 */
export function stackRows<D extends Dtype>(rows: readonly Tensor<D>[], batchSize: number): Tensor<D> {
  const first = rows[0] as Tensor<D>;
  if (batchSize === 1) return first;
  const stacked = Tensor.zeros(first.dtype, [batchSize, ...first.shape.slice(1)]);
  for (let i = 0; i < batchSize; i++) {
    const row = rows[Math.min(i, rows.length - 1)] as Tensor<D>;
    // Copied all the same, a smaller one would leave zeros behind it, and give a wrong answer.
    if (row.size !== first.size) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The rows of one batch must have one shape, not [${first.shape.join(", ")}] and [${row.shape.join(", ")}].`,
      );
    }
    (stacked.data as Float32Array).set(row.data as Float32Array, i * first.size);
  }
  return stacked;
}

/**
 * Splits rows into as few compiled batches as there can be.
 * @param sizes the compiled batch sizes, increasing.
 * @returns runs of rows, each with the size to run it in: the largest, and for what is left the smallest that holds it.
 */
export function batchesOf<T>(rows: readonly T[], sizes: readonly number[]): { rows: T[]; size: number }[] {
  return slicesOf(rows, sizes.at(-1) as number).map((slice) => ({
    rows: slice,
    size: batchSizeFor(slice.length, sizes),
  }));
}

/** The smallest compiled batch size that holds so many rows; the largest where none does. */
export function batchSizeFor(count: number, sizes: readonly number[]): number {
  return sizes.find((size) => size >= count) ?? (sizes.at(-1) as number);
}

/** Splits a list into runs of at most `size`. */
export function slicesOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
