/** What the bench found, in the words that the terminal and the page share. */
import { milliseconds, perSecond } from "../report/words.js";
import type { BenchReport, MeasuredBatch } from "./bench-module.js";

/** Tells whether a batch size ran. */
export function isMeasured(result: BenchReport["results"][number]): result is MeasuredBatch {
  return "latencyMs" in result;
}

/** Returns the batch size with the most rows in a second; undefined where none ran. */
export function fastest({ results }: BenchReport): number | undefined {
  const measured = results.filter(isMeasured);
  return measured.sort((one, other) => other.rowsPerSecond - one.rowsPerSecond)[0]?.batchSize;
}

/** Says a call's median, p90 and p99, its first run, the time for each row, and the throughput. */
export function timesOf({ batchSize, latencyMs, firstRunMs, rowsPerSecond }: MeasuredBatch): string[] {
  const { median, p90, p99 } = latencyMs;
  const times = [median, p90, p99, firstRunMs, (median ?? 0) / batchSize];
  return [...times.map(milliseconds), perSecond(rowsPerSecond, "rows")];
}
