import { counted } from "../../report/words.js";
import { firstOutcomes, load } from "../load-loop.js";
import type { ReplicasResult } from "../report.js";
import { loadBlip, workloadOf } from "../workload.js";
import type { StepContext, StepInput } from "./step.js";

/** Loads some replicas, and lets some callers ask for a while. */
export async function loadStep(context: StepContext, input: StepInput): Promise<ReplicasResult> {
  const { directory, signal, say } = context;
  const { replicas, threads, callers, seconds } = input;
  say(`${counted(replicas, "replica")}, ${counted(callers, "caller")}: loading`);
  const rssBeforeLoad = process.memoryUsage.rss();
  const start = performance.now();
  await using blip = await loadBlip(directory, replicas, threads);
  const loadMs = performance.now() - start;
  const rssAfterLoad = process.memoryUsage.rss();
  const workload = workloadOf(blip);
  const { expected, firstMs } = await firstOutcomes(workload, replicas, signal);
  const rssAfterFirstAnswers = process.memoryUsage.rss();
  say(`${counted(replicas, "replica")}, ${counted(callers, "caller")}: asking for ${seconds} s`);
  const result = await load(workload, expected, { callers, seconds, signal });
  return {
    ...result,
    replicas,
    loadMs,
    firstAnswerMs: loadMs + firstMs,
    rssBeforeLoad,
    rssAfterLoad,
    rssAfterFirstAnswers,
    rssPeak: peakRss(),
  };
}

/** In bytes; Node gives KiB. */
export function peakRss(): number {
  return process.resourceUsage().maxRSS * 1024;
}
