/** Counts of values from `from` to `to`, in bins of one width. */
export interface Histogram {
  readonly from: number;
  readonly to: number;
  readonly counts: readonly number[];
  /** How many values lie beyond `to`. */
  readonly beyond: number;
}

/** Of a list of values; all but `count` are null where there are none. */
export interface Summary {
  readonly count: number;
  readonly min: number | null;
  readonly median: number | null;
  readonly mean: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = Float64Array.from(values).sort();
  return {
    count: sorted.length,
    min: sorted[0] ?? null,
    median: quantile(sorted, 0.5),
    mean: sorted.length > 0 ? sorted.reduce((sum, value) => sum + value, 0) / sorted.length : null,
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? null,
  };
}

/**
 * Returns the value below which a share of the values lies, interpolated between neighbours as numpy does; null for no values.
 * @param sorted increasing.
 * @param share from 0 to 1.
 */
export function quantile(sorted: ArrayLike<number>, share: number): number | null {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) return null;
  return below + (above - below) * (at - Math.floor(at));
}

export function median(values: readonly number[]): number | null {
  return quantile(Float64Array.from(values).sort(), 0.5);
}

/** Counts in bins of one width, from the smallest value to the 99.5th percentile, so that one outlier does not hide the rest. */
export function histogramOf(values: readonly number[], bins = 40): Histogram {
  const sorted = Float64Array.from(values).sort();
  const from = sorted[0] ?? 0;
  const to = quantile(sorted, 0.995) ?? 0;
  const counts = new Array<number>(to > from ? bins : 1).fill(0);
  let beyond = 0;
  for (const value of sorted) {
    if (value > to) beyond++;
    else {
      const bin = to > from ? Math.min(bins - 1, Math.floor(((value - from) / (to - from)) * bins)) : 0;
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }
  return { from, to, counts, beyond };
}

/**
 * Computes how much memory grew once all was warm: the median of the last fifth of the samples less that of the second fifth.
 * @returns bytes; null for fewer than ten samples, which do not tell.
 */
export function growthOf(rss: readonly number[]): number | null {
  if (rss.length < 10) return null;
  const fifth = Math.floor(rss.length / 5);
  const early = median(rss.slice(fifth, 2 * fifth));
  const late = median(rss.slice(-fifth));
  return early === null || late === null ? null : late - early;
}
