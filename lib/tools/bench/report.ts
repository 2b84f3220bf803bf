import type { HostFacts, RuntimeFacts } from "../report/host.js";
import type { Summary } from "../report/statistics.js";
import { milliseconds, perSecond } from "../report/words.js";
import type { InputSpec } from "./input-specs.js";

/** The version of the JSON that `neuron-blip bench` writes; raised when a field changes its meaning. */
export const BENCH_VERSION = 1;

/** What a module did at each batch size; times in milliseconds. */
export interface BenchReport {
  readonly version: number;
  readonly startedAt: string;
  /** The name of the file that was asked about. */
  readonly file: string;
  readonly ranOn: string;
  readonly host: HostFacts;
  readonly versions: RuntimeFacts & { readonly node: string };
  /** Cores of the CPU that a run may use; null: all. */
  readonly threads: number | null;
  readonly calls: number;
  readonly inputs: readonly InputSpec[];
  readonly results: readonly BatchResult[];
}

export type BatchResult = MeasuredBatch | FailedBatch;

export interface MeasuredBatch {
  readonly batchSize: number;
  /** Which file ran: that of this batch size, where there is one. */
  readonly file: string;
  readonly shapes: readonly (readonly number[])[];
  /** The very first run, which may still prepare things. */
  readonly firstRunMs: number;
  readonly latencyMs: Summary;
  /** Rows in a second, one call after another. */
  readonly rowsPerSecond: number;
}

export interface FailedBatch {
  readonly batchSize: number;
  readonly file: string;
  /** Such as "EXECUTION_FAILED". */
  readonly code: string;
  readonly problem: string;
}

/** Whether a batch size ran. */
export function isMeasured(result: BatchResult): result is MeasuredBatch {
  return "latencyMs" in result;
}

/** The batch size with the most rows in a second; undefined where none ran. */
export function fastest({ results }: BenchReport): number | undefined {
  const measured = results.filter(isMeasured);
  return measured.sort((one, other) => other.rowsPerSecond - one.rowsPerSecond)[0]?.batchSize;
}

/** In words: a call's median, p90 and p99, its first run, the time for each row, and the throughput. */
export function timesOf({ batchSize, latencyMs, firstRunMs, rowsPerSecond }: MeasuredBatch): string[] {
  const { median, p90, p99 } = latencyMs;
  const times = [median, p90, p99, firstRunMs, (median ?? 0) / batchSize];
  return [...times.map(milliseconds), perSecond(rowsPerSecond, "rows")];
}
