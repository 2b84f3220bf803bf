import { setImmediate } from "node:timers/promises";
import { messageOf, NeuronBlipError } from "../../errors.js";
import { histogramOf, summarize } from "../report/statistics.js";
import type { LoadResult } from "./report.js";
import { isSame, type Outcome, type Workload } from "./workload.js";

export interface LoadOptions {
  /** How many ask at once, each its next when it has its answer. */
  readonly callers: number;
  readonly seconds: number;
  /** Ends the load early. */
  readonly signal: AbortSignal;
}

/** A model that fails so often in a row, and never answers in between, is not asked further. */
const HOPELESS = 200;

/**
 * Asks each item once, so that every later outcome can be compared with its first, then warms up every replica.
 * @returns the first outcomes, and how long the very first took, in milliseconds.
 * @throws what asking throws: a model that does not answer once is not worth a load.
 */
export async function firstOutcomes(
  workload: Workload,
  replicas: number,
  signal: AbortSignal,
): Promise<{ expected: Outcome[]; firstMs: number }> {
  const start = performance.now();
  const expected = [await workload.ask(0)];
  const firstMs = performance.now() - start;
  for (let item = 1; item < workload.items && !signal.aborted; item++) expected.push(await workload.ask(item));
  for (let round = 0; round < 2 && !signal.aborted; round++) {
    await Promise.all(Array.from({ length: replicas }, (_, i) => workload.ask(i)));
  }
  return { expected, firstMs };
}

/** Loads a model steadily. Failed calls are counted, and do not end it. */
export async function load(
  workload: Workload,
  expected: readonly Outcome[],
  { callers, seconds, signal }: LoadOptions,
): Promise<LoadResult> {
  const latencies: number[] = [];
  const errors: Record<string, number> = {};
  const errorMessages: Record<string, string> = {};
  let [next, differentAnswers, failuresInRow] = [0, 0, 0];
  const start = performance.now();
  const end = start + seconds * 1000;

  const caller = async () => {
    do {
      const item = next++ % workload.items;
      const begin = performance.now();
      try {
        const outcome = await workload.ask(item);
        latencies.push(performance.now() - begin);
        failuresInRow = 0;
        const first = expected[item];
        if (first && !isSame(outcome, first)) differentAnswers++;
      } catch (error) {
        const code = error instanceof NeuronBlipError ? error.code : "UNEXPECTED";
        errors[code] = (errors[code] ?? 0) + 1;
        errorMessages[code] ??= messageOf(error);
        failuresInRow++;
        // A call that fails at once must not keep the event loop to itself.
        await setImmediate();
      }
    } while (performance.now() < end && !signal.aborted && failuresInRow < HOPELESS);
  };
  await Promise.all(Array.from({ length: callers }, caller));

  const elapsed = (performance.now() - start) / 1000;
  return {
    callers,
    seconds: elapsed,
    answers: latencies.length,
    answersPerSecond: latencies.length / elapsed,
    latencyMs: summarize(latencies),
    histogram: histogramOf(latencies),
    differentAnswers,
    errors,
    errorMessages,
  };
}
