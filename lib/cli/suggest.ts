/** Finds the name that a misspelt one was probably meant to be: the nearest, where few letters differ; undefined for none near. */
export function suggest(given: string, names: readonly string[]): string | undefined {
  // What was begun and not written to its end is near, too.
  const distances = names.map((name) => (given.length >= 3 && name.startsWith(given) ? 1 : distanceOf(given, name)));
  const fewest = Math.min(...distances);
  return fewest <= Math.max(1, Math.floor(given.length / 3)) ? names[distances.indexOf(fewest)] : undefined;
}

/** Makes a sentence that suggests it, with a space before it; "" where there is nothing to suggest. */
export function didYouMean(given: string, names: readonly string[]): string {
  const name = suggest(given, names);
  return name === undefined ? "" : ` Did you mean ${name}?`;
}

/** Counts the letters to put in, take out, change or swap with the next (the optimal string alignment distance). */
function distanceOf(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 20) return Number.POSITIVE_INFINITY;
  const rows: number[][] = [];
  const at = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 0; i <= one.length; i++) {
    const row: number[] = [];
    rows.push(row);
    for (let j = 0; j <= other.length; j++) {
      const changed = at(i - 1, j - 1) + (one[i - 1] === other[j - 1] ? 0 : 1);
      const swaps = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const swapped = swaps ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(i + j === 0 ? 0 : Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, changed, swapped));
    }
  }
  return at(one.length, other.length);
}
