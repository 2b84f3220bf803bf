import { setTimeout as delay } from "node:timers/promises";
import type { Job, Worker } from "bullmq";
import type { FastifyBaseLogger } from "fastify";
import type { Answerer, JobResult } from "./answerer.js";
import { fateOf } from "./fate.js";
import { keyOf } from "./job-form.js";
import type { JobMetrics } from "./job-metrics.js";
import type { Queues } from "./queues.js";
import { SUPERSEDED, Turns } from "./turns.js";

/** How often a job is tried, where it may go well another time. */
const ATTEMPTS = 4;
/** After the first; then twice as long each time, of which up to a half is left to chance. */
const RETRY_DELAY_MS = 1000;
/** How long a job waits that could not be done now for no fault of its own. */
const WAIT_MS = 1000;
/** How often a process may die under a job. */
export const MOST_DEATHS = 3;
/** How many jobs are in hand where newer ones may take their place: as many as there are cameras, and more. */
const IN_HAND_BY_LATEST = 4096;

export interface WorkOptions {
  readonly answerer: Answerer;
  readonly metrics: JobMetrics;
  readonly log: FastifyBaseLogger;
  /** How many jobs run at a time. */
  readonly concurrency: number;
  /** The field of a job's data of which the newest job alone is done. */
  readonly latestBy?: string | undefined;
  /** Of results, in s. */
  readonly keepResults: number;
  /** How long a job is this worker's without a word from it: then it is another's. */
  readonly lockMs: number;
}

/** What a job comes to that a newer one has taken the place of. */
export interface Superseded {
  readonly superseded: true;
}

/** Starts to take jobs of a queue. Close it to end. */
export function startWorker(queues: Queues, options: WorkOptions): Worker<unknown, JobResult | Superseded> {
  const { answerer, metrics, log, concurrency, latestBy, keepResults, lockMs } = options;
  const { DelayedError, UnrecoverableError } = queues.bullmq;
  const turns = new Turns(concurrency);
  const { starts } = queues;

  const process = async (job: Job<unknown>, token = ""): Promise<JobResult | Superseded> => {
    const id = job.id ?? "";
    // Whatever its producer has set.
    job.opts.attempts = ATTEMPTS;
    job.opts.backoff = { type: "exponential", delay: RETRY_DELAY_MS, jitter: 0.5 };
    const deaths = await starts.deathsOf(id);
    if (deaths >= MOST_DEATHS) {
      await starts.end(id);
      metrics.count("dead");
      log.error({ job: id, deaths }, "a job goes to the dead letters: processes die under it");
      throw new UnrecoverableError(`The process died ${deaths} times while it did this job.`);
    }
    const key = latestBy === undefined ? undefined : keyOf(job.data, latestBy);
    const turn = {
      alone: deaths > 0,
      ...(key !== undefined && { latestBy: { key, timestamp: job.timestamp } }),
    };
    try {
      const result = await turns.run(turn, async () => {
        await starts.begin(id);
        try {
          return await answerer.do(job.data, id);
        } finally {
          await starts.end(id);
        }
      });
      metrics.count(result === SUPERSEDED ? "superseded" : "done");
      return result === SUPERSEDED ? { superseded: true } : result;
    } catch (error) {
      const { fate, problem } = fateOf(error);
      const words = `${problem.message} [${problem.code}]`;
      if (fate === "wait") {
        metrics.count("waited");
        await job.moveToDelayed(Date.now() + WAIT_MS, token);
        throw new DelayedError();
      }
      const isLast = fate === "dead" || job.attemptsMade + 1 >= ATTEMPTS;
      metrics.count(isLast ? "dead" : "retried");
      log.warn({ job: id, code: problem.code }, isLast ? "a job goes to the dead letters" : "a job is tried again");
      throw fate === "dead" ? new UnrecoverableError(words) : new Error(words);
    }
  };

  const worker = new queues.bullmq.Worker<unknown, JobResult | Superseded>(queues.name, process, {
    connection: queues.newConnection(),
    concurrency: latestBy === undefined ? concurrency : IN_HAND_BY_LATEST,
    lockDuration: lockMs,
    stalledInterval: lockMs,
    // Deaths are counted by Starts, which knows the jobs that ran from those that were only in hand.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    removeOnComplete: { age: keepResults },
    removeOnFail: { count: Number.MAX_SAFE_INTEGER },
  });
  worker.on("error", queues.say);
  return worker;
}

/**
 * Takes up the dead letters that there are now, each with one chance more, and waits for what becomes of them.
 * @returns how many there were, and how many are dead again.
 */
export async function redrive(queues: Queues): Promise<{ readonly taken: number; readonly dead: number }> {
  const { queue, starts } = queues;
  const failed = await queue.getFailed();
  for (const job of failed) {
    await starts.setDeaths(job.id ?? "", MOST_DEATHS - 1);
    await job.retry("failed", { resetAttemptsMade: true });
  }
  let dead = 0;
  for (const { id = "" } of failed) {
    let state = await queue.getJobState(id);
    while (state !== "completed" && state !== "failed" && state !== "unknown") {
      await delay(200);
      state = await queue.getJobState(id);
    }
    if (state === "failed") dead++;
  }
  return { taken: failed.length, dead };
}
