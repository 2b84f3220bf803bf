/** Figures in words, each with its unit; errors; versions. */
import { messageOf, NeuronBlipError } from "../../errors.js";

export function milliseconds(value: number | null): string {
  if (value === null) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2)} ms`;
}

export function megabytes(bytes: number): string {
  const value = bytes / 1e6;
  return `${Math.abs(value) >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1)} MB`;
}

/** Writes a size that is not compared: "7.6 GB". */
export function inBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.round(bytes / 1e3)} kB`;
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

/** Writes a difference, whose magnitude is what matters, such as 3.1e-7. */
export function small(value: number | null): string {
  return value === null ? "–" : value === 0 ? "0" : Number(value.toPrecision(2)).toExponential();
}

/** Writes a count with its noun, such as "2 replicas". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Compares versions such as "2.9.1+cpu": negative if `a` is older. What follows the numbers, or the third, does not count. */
export function compareVersions(a: string, b: string): number {
  const numbers = (version: string) => (/^\d+(\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number);
  const [left, right] = [numbers(a), numbers(b)];
  const differences = [0, 1, 2].map((i) => (left[i] ?? 0) - (right[i] ?? 0));
  return differences.find((difference) => difference !== 0) ?? 0;
}

/** Writes an error in a line, with its code. */
export function wordsOf(error: unknown): string {
  return error instanceof NeuronBlipError ? `${error.message} [${error.code}]` : messageOf(error);
}

/** Splits an error's message into what is wrong and, for most of this package's, what to do about it. */
export function splitCure(message: string): [what: string, cure?: string] {
  const verbs = /^(.*?[.):]) ((?:Build|Check|Choose|Compile|Copy|Correct|Give|Install|Make|Run|Set|Update)\b.*)$/s;
  const [, what, cure] = verbs.exec(message) ?? [];
  return what === undefined || cure === undefined ? [message] : [what, cure];
}
