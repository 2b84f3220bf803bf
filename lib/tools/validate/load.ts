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
export type SoakResult = Awaited<ReturnType<typeof soakStep>>;

/** A model that fails so often in a row, and never answers in between, is not asked further. */
const HOPELESS = 200;

/** How often the event loop is looked at. */
const RESOLUTION_MS = 10;
/** As many samples of the memory, whatever the time. */
const SAMPLES = 120;
/** A soak below this tells nothing of growth: allocators settle for some while. */
const SHORTEST_FOR_GROWTH_S = 30;

/** Loads some replicas, and lets some callers ask for a while. */
export async function loadStep(context: StepContext, input: StepInput) {
  const { directory, signal, say } = context;
  const { replicas, threads, callers, seconds } = input;
  const what = `${counted(replicas, "replica")}, ${counted(callers, "caller")}`;
  say(`${what}: loading`);
  const rssBeforeLoad = process.memoryUsage.rss();
  const start = performance.now();
  await using blip = await loadBlip(directory, replicas, threads);
  const loadMs = performance.now() - start;
  const rssAfterLoad = process.memoryUsage.rss();
  const workload = workloadOf(blip);
  const { expected, firstMs } = await firstOutcomes(workload, replicas, signal);
  const rssAfterFirstAnswers = process.memoryUsage.rss(); // when all that is allocated once is
  say(`${what}: asking for ${seconds} s`);
  const result = await load(workload, expected, { callers, seconds, signal });
  const memory = { rssBeforeLoad, rssAfterLoad, rssAfterFirstAnswers, rssPeak: peakRss() };
  /** From the start of loading to the first answer. */
  const firstAnswerMs = loadMs + firstMs;
  return { ...result, replicas, loadMs, firstAnswerMs, ...memory };
}

/** A steady load of all replicas for minutes, with every outcome compared with its first. */
export async function soakStep(context: StepContext, input: StepInput) {
  const { directory, signal, say } = context;
  const { replicas, threads, callers, seconds } = input;
  say(`soak: loading ${counted(replicas, "replica")}`);
  await using blip = await loadBlip(directory, replicas, threads);
  const workload = workloadOf(blip);
  const { expected } = await firstOutcomes(workload, replicas, signal);
  say(`soak: ${counted(callers, "caller")} for ${seconds} s`);

  const start = performance.now();
  const samples: { seconds: number; rss: number }[] = [];
  const sample = () => samples.push({ seconds: (performance.now() - start) / 1000, rss: process.memoryUsage.rss() });
  const sampling = setInterval(sample, Math.max(20, (seconds * 1000) / SAMPLES));
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  sample();
  try {
    const result = await load(workload, expected, { callers, seconds, signal });
    delays.disable();
    sample();
    /** The last fifth's median RSS less the second fifth's; null where the soak was too short to tell. */
    const growth = result.seconds < SHORTEST_FOR_GROWTH_S ? null : growthOf(samples.map(({ rss }) => rss));
    /** How long the event loop was kept from other work, at worst. */
    const eventLoopDelayMs = { largest: delayOf(delays.max), p99: delayOf(delays.percentile(99)) };
    return { ...result, replicas, samples, growth, rssPeak: peakRss(), eventLoopDelayMs };
  } finally {
    clearInterval(sampling);
  }
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

/** In bytes; Node gives KiB. */
function peakRss(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Node measures from one look to the next, in nanoseconds: what lies beyond the resolution is delay. */
function delayOf(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
}
