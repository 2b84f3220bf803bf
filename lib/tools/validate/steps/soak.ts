import { monitorEventLoopDelay } from "node:perf_hooks";
import { growthOf } from "../../report/statistics.js";
import { counted } from "../../report/words.js";
import { firstOutcomes, load } from "../load-loop.js";
import type { MemorySample, SoakResult } from "../report.js";
import { loadBlip, workloadOf } from "../workload.js";
import { peakRss } from "./load.js";
import type { StepContext, StepInput } from "./step.js";

/** How often the event loop is looked at. */
const RESOLUTION_MS = 10;
/** As many samples of the memory, whatever the time. */
const SAMPLES = 120;
/** A soak below this tells nothing of growth: allocators settle for some while. */
const SHORTEST_FOR_GROWTH_S = 30;

/** A steady load of all replicas for minutes, with every outcome compared with its first. */
export async function soakStep(context: StepContext, input: StepInput): Promise<SoakResult> {
  const { directory, signal, say } = context;
  const { replicas, threads, callers, seconds } = input;
  say(`soak: loading ${counted(replicas, "replica")}`);
  await using blip = await loadBlip(directory, replicas, threads);
  const workload = workloadOf(blip);
  const { expected } = await firstOutcomes(workload, replicas, signal);
  say(`soak: ${counted(callers, "caller")} for ${seconds} s`);

  const start = performance.now();
  const samples: MemorySample[] = [];
  const sample = () => samples.push({ seconds: (performance.now() - start) / 1000, rss: process.memoryUsage.rss() });
  const sampling = setInterval(sample, Math.max(20, (seconds * 1000) / SAMPLES));
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  sample();
  try {
    const result = await load(workload, expected, { callers, seconds, signal });
    delays.disable();
    sample();
    return {
      ...result,
      replicas,
      samples,
      growth: result.seconds < SHORTEST_FOR_GROWTH_S ? null : growthOf(samples.map(({ rss }) => rss)),
      rssPeak: peakRss(),
      eventLoopDelayMs: { largest: delayOf(delays.max), p99: delayOf(delays.percentile(99)) },
    };
  } finally {
    clearInterval(sampling);
  }
}

/** Node measures from one look to the next, in nanoseconds: what lies beyond the resolution is delay. */
function delayOf(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
}
