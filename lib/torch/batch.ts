/** Rows of tensors, batches of rows, and masks of them. */
import { NeuronBlipError } from "../errors.js";
import { type Dtype, Tensor } from "./tensor.js";

/**
 * Takes a tensor apart along its first dimension.
 * @param memory "shared" (default): over the tensor's; "own": copies, so that one can be kept without the others.
 * @returns rows of [1, …]; of a tensor of one row the tensor itself.
 */
export function rowsOf<D extends Dtype>(tensor: Tensor<D>, memory: "shared" | "own" = "shared"): Tensor<D>[] {
  const [count = 0, ...rest] = tensor.shape;
  if (count === 1) return [tensor];
  const size = rest.reduce((product, length) => product * length, 1);
  return Array.from({ length: count }, (_, i) => {
    const row = Tensor.view(tensor.data.subarray(i * size, (i + 1) * size), [1, ...rest], tensor.dtype);
    if (memory === "shared") return row;
    const copy = Tensor.zeros(row.dtype, row.shape);
    bytesOf(copy).set(bytesOf(row));
    return copy;
  });
}

/**
 * One tensor of a compiled batch size from rows of [1, …]. A batch of one is the row itself; otherwise the rows are copied,
 * and rows that are missing are filled with the last one, whose result the caller ignores.
 * @throws NeuronBlipError `INVALID_INPUT` for rows of different shapes.
 */
export function stackRows<D extends Dtype>(rows: readonly Tensor<D>[], batchSize: number): Tensor<D> {
  const [first] = rows;
  if (first === undefined) throw new TypeError("A batch has rows.");
  if (batchSize === 1) return first;
  const stacked = Tensor.zeros(first.dtype, [batchSize, ...first.shape.slice(1)]);
  const bytes = bytesOf(stacked);
  let row = first;
  for (let i = 0; i < batchSize; i++) {
    row = rows[i] ?? row;
    // Copied all the same, a smaller one would leave zeros behind it, and give a wrong answer.
    if (row.size !== first.size) {
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
  return Array.from({ length: Math.ceil(rows.length / largest) }, (_, i) => {
    const batch = rows.slice(i * largest, (i + 1) * largest);
    return { rows: batch, size: sizes.find((size) => size >= batch.length) ?? largest };
  });
}

/** Makes an int64 tensor of numbers. */
export function int64(values: readonly number[], shape: readonly number[] = [values.length]): Tensor<"int64"> {
  return Tensor.from(BigInt64Array.from(values, BigInt), shape);
}

/** Makes an attention mask, int64 [rows, width]. @param attended how many positions of each row count, from the first on. */
export function attentionMaskOf(attended: readonly number[], width: number): Tensor<"int64"> {
  const ones = attended.flatMap((count) => Array.from({ length: width }, (_, i) => (i < count ? 1 : 0)));
  return int64(ones, [attended.length, width]);
}
