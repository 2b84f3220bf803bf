/** How alike features are. */

/** Copies rows of features of one size into one array, one after another. */
export function packed(rows: readonly Float32Array[]): Float32Array {
  const size = rows[0]?.length ?? 0;
  const all = new Float32Array(rows.length * size);
  for (const [i, row] of rows.entries()) all.set(row, i * size);
  return all;
}

/**
 * Calculates the cosines of features of length 1, in steps.
 * @param texts blocks of rows, as `packed` makes them.
 * @returns a list for each picture, with a number for each text.
 */
export function* cosineSteps(
  images: readonly Float32Array[],
  texts: readonly Float32Array[],
): Generator<void, number[][]> {
  const cosines: number[][] = [];
  for (const image of images) {
    const row: number[] = [];
    for (const block of texts) {
      for (let start = 0; start < block.length; start += image.length) {
        row.push(dot(image, block, start));
        yield;
      }
    }
    cosines.push(row);
  }
  return cosines;
}

/** Returns the dot product of two rows. @param start where the other's numbers begin. */
function dot(one: Float32Array, other: Float32Array, start: number): number {
  return one.reduce((sum, value, i) => sum + value * (other[start + i] ?? 0), 0);
}
