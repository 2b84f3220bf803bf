/** The name that a misspelt one was probably meant to be: the nearest, where few letters differ; undefined where none is near. */
export function suggest(given: string, names: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let fewest = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    // What was begun and not written to its end is near, too.
    const distance = given.length >= 3 && name.startsWith(given) ? 1 : distanceOf(given, name);
    if (distance < fewest) [nearest, fewest] = [name, distance];
  }
  return nearest;
}

/** A sentence that suggests it, with a space before it; "" where there is nothing to suggest. */
export function didYouMean(given: string, names: readonly string[]): string {
  const name = suggest(given, names);
  return name === undefined ? "" : ` Did you mean ${name}?`;
}

/** How many letters have to be put in, taken out, changed or swapped with the next (optimal string alignment). */
function distanceOf(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 20) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, j) => j);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      let best = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) {
        best = Math.min(best, at(before, j - 2) + 1);
      }
      row.push(best);
    }
    [before, last] = [last, row];
  }
  return at(last, other.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}
