/** Figures in words, each with its unit. */

export function milliseconds(value: number | null): string {
  if (value === null) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2)} ms`;
}

export function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return `${Math.abs(value) >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} MB`;
}

export function seconds(value: number): string {
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} s`;
}

export function perSecond(value: number, unit: string): string {
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}/s`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Such as 3.1e-7: of differences, whose size is what matters. */
export function small(value: number | null): string {
  return value === null ? "–" : value === 0 ? "0" : Number(value.toPrecision(2)).toExponential();
}

/** Such as "2 replicas". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
