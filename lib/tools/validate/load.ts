import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { messageOf, NeuronBlipError } from "../../errors.js";
import { growthOf, histogramOf, summarize } from "../report/statistics.js";
import { counted } from "../report/words.js";
import type { StepContext, StepInput } from "./step.js";
import { isSame, loadBlip, type Outcome, type Workload, workloadOf } from "./workload.js";

export interface LoadOptions {
  /** How many ask at once, each its next when it has its answer. */
  readonly callers: number;
  readonly seconds: number;
  /** Ends the load early. */
  readonly signal: AbortSignal;
}

/** What a steady load gave. */
export type LoadResult = Awaited<ReturnType<typeof load>>;
/** A load of one number of replicas, in a process of its own. */
export type ReplicasResult = Awaited<ReturnType<typeof loadStep>>;

/** A model that fails so often in a row, and never answers in between, is not asked further. */
const HOPELESS = 200;

/** How often the event loop is looked at. */
const RESOLUTION_MS = 10;
/** As many samples of the memory, whatever the time. */
const SAMPLES = 120;
/** A load shorter than this tells nothing of growth: allocators settle for some while. */
const SHORTEST_FOR_GROWTH_S = 30;

/** Loads some replicas, lets some callers ask for a while, and watches the process meanwhile. */
export async function loadStep(context: StepContext, input: StepInput) {
  const { directory, signal, say } = context;
  const { id, replicas, threads, callers, seconds } = input;
  say(`${id}: loading ${counted(replicas, "replica")}`);
  const rssBeforeLoad = process.memoryUsage.rss();
  const start = performance.now();
  await using blip = await loadBlip(directory, replicas, threads);
  const loadMs = performance.now() - start;
  const rssAfterLoad = process.memoryUsage.rss();
  const workload = workloadOf(blip);
  const { expected, firstMs } = await firstOutcomes(workload, replicas, signal);
  const rssAfterFirstAnswers = process.memoryUsage.rss(); // when all that is allocated once is
  say(`${id}: ${counted(callers, "caller")} for ${seconds} s`);

  const began = performance.now();
  const samples: { seconds: number; rss: number }[] = [];
  const sample = () => samples.push({ seconds: (performance.now() - began) / 1000, rss: process.memoryUsage.rss() });
  const sampling = setInterval(sample, Math.max(20, (seconds * 1000) / SAMPLES));
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  sample();
  const result = await load(workload, expected, { callers, seconds, signal }).finally(() => clearInterval(sampling));
  delays.disable();
  sample();
  return {
    ...result,
    replicas,
    loadMs,
    /** From the start of loading to the first answer. */
    firstAnswerMs: loadMs + firstMs,
    rssBeforeLoad,
    rssAfterLoad,
    rssAfterFirstAnswers,
    /** In bytes; Node gives KiB. */
    rssPeak: process.resourceUsage().maxRSS * 1024,
    samples,
    /** The last fifth's median RSS less the second fifth's; null where the load was too short to tell. */
    growth: result.seconds < SHORTEST_FOR_GROWTH_S ? null : growthOf(samples.map(({ rss }) => rss)),
    /** How long the event loop was kept from other work, at worst. */
    eventLoopDelayMs: { largest: delayOf(delays.max), p99: delayOf(delays.percentile(99)) },
  };
}

/**
 * Asks each item once, so that every later outcome can be compared with its first, then warms up every replica.
 * @returns the first outcomes, and how long the very first took, in milliseconds.
 * @throws what asking throws: a model that does not answer once is not worth a load.
 */
async function firstOutcomes(
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
) {
  const latencies: number[] = [];
  /** Failed calls by code. */
  const errors: Record<string, number> = {};
  /** The message of each code's first error. */
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
    /** How many outcomes were not the first for the same input. */
    differentAnswers,
    errors,
    errorMessages,
  };
}

/** Computes a delay. Node measures from one look to the next, in nanoseconds: what lies beyond the resolution is delay. */
function delayOf(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
}
