import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import fastify from "fastify";
import { NeuronBlip } from "neuron-blip";
import { type Logger, pino } from "pino";
import { healthEndpoints } from "../health/endpoints.js";
import { ServerState } from "../health/server-state.js";
import { Answerer } from "../jobs/answerer.js";
import { JobFiles } from "../jobs/job-files.js";
import { JobMetrics } from "../jobs/job-metrics.js";
import { openQueues, type Queues } from "../jobs/queues.js";
import { redrive, startWorker } from "../jobs/worker.js";
import { metricsEndpoint, ServerMetrics } from "../observing/metrics.js";
import { DEFAULT_LIMITS } from "../options.js";
import { PictureUrls } from "../pictures/picture-urls.js";
import { UsageError } from "./arguments.js";
import { modelOptions } from "./model-options.js";
import { watchReplicas } from "./replicas.js";
import { runCommand } from "./run-command.js";
import { inTimeFor, lateSignal, whenSignalled } from "./until-stopped.js";
import { HELP, readWorkArguments, type WorkArguments } from "./work-arguments.js";

/** How often the same error of Redis is told of, in ms. */
const TOLD_EVERY_MS = 10_000;

/**
 * Runs `neuron-blip work`: loads a model, and does a queue's jobs until a signal ends it.
 * @param args the command line's, after `work`.
 * @returns the exit code.
 */
export function runWork(args: string[]): Promise<number> {
  return runCommand(async () => {
    const given = readWorkArguments(args);
    if (given !== undefined) return work(given);
    process.stdout.write(`${HELP}\n`);
    return 0;
  });
}

async function work(given: WorkArguments): Promise<number> {
  const log = pino({ level: given.logLevel });
  const { filesRoot } = given;
  if (filesRoot !== undefined) {
    await realpath(filesRoot).catch(() => {
      throw new UsageError(`--files-root ${filesRoot} is not there.`);
    });
  }
  const queues = await openQueues(given.queue, sayNowAndThen(log));
  if (queues === undefined) {
    process.stderr.write("neuron-blip: jobs come by packages of their own: npm install bullmq ioredis\n");
    return 1;
  }
  try {
    return await workOn(queues, given, log);
  } finally {
    // Its connections keep the process alive.
    await queues.close();
  }
}

/** Logs an error, and not again for a while: a Redis that is away is tried many times a second. */
function sayNowAndThen(log: Logger): (error: Error) => void {
  const toldAt = new Map<string, number>();
  return (error) => {
    const now = performance.now();
    if (now - (toldAt.get(error.message) ?? Number.NEGATIVE_INFINITY) < TOLD_EVERY_MS) return;
    if (toldAt.size > 100) toldAt.clear();
    toldAt.set(error.message, now);
    log.warn({ err: error }, "Redis cannot be reached, or does not do what it is asked; the worker goes on trying");
  };
}

async function workOn(queues: Queues, given: WorkArguments, log: Logger): Promise<number> {
  const { model, filesRoot } = given;
  const { maxBody: maxBodyBytes = DEFAULT_LIMITS.maxBodyBytes, timeoutMs: requestTimeoutMs } = given;
  const limits = { ...DEFAULT_LIMITS, maxBodyBytes, ...(requestTimeoutMs !== undefined && { requestTimeoutMs }) };
  await using blip = await NeuronBlip.fromPretrained(model, modelOptions(given));
  if (blip.architecture === "BlipForImageTextRetrieval") {
    throw new UsageError("work takes a model that answers questions or captions pictures; this one matches.");
  }
  const urls = new PictureUrls(given.allowedUrls, maxBodyBytes);
  const answerer = new Answerer({
    blip,
    modelName: given.name ?? (basename(model) || "blip"),
    standingQuestions: given.questions,
    limits,
    urls,
    files: new JobFiles(filesRoot, maxBodyBytes),
  });
  const lost = watchReplicas(blip, log);
  const observed = await observe(blip, given);
  const metrics = new JobMetrics(observed.metrics.registry, queues.queue, queues.isAway);
  const worker = startWorker(queues, { ...given, answerer, metrics, log });
  log.info({ queue: given.queue.name, concurrency: given.concurrency }, "working");
  const redriven = given.redrive ? redrive(queues) : undefined;
  const signalled = whenSignalled(lost);
  const first = await Promise.race([signalled, ...(redriven ? [redriven] : [])]);
  observed.state.drain();
  log.info("finishing what is in hand");
  const atOnce = first instanceof AbortSignal ? first : undefined;
  const inTime = await inTimeFor(worker.close(), lateSignal(given.graceMs, atOnce));
  await observed.close();
  await urls.close();
  log.info({ inTime }, "stopped");
  // What is under way may never end; its jobs are another worker's once their locks have run out.
  if (!inTime) process.exit(1);
  if (!(first instanceof AbortSignal)) {
    log.info(first, "took up dead letters");
    return first.dead === 0 ? 0 : 1;
  }
  return lost.aborted ? 1 : 0;
}

/** Serves health and metrics, where a port is given. */
async function observe(blip: NeuronBlip, { metricsPort, metricsHost }: WorkArguments) {
  const metrics = new ServerMetrics(blip);
  const state = new ServerState(blip);
  const app = metricsPort === undefined ? undefined : fastify({ logger: false, requestTimeout: 10_000 });
  if (app !== undefined) {
    await app.register(metricsEndpoint, { metrics, open: true });
    await app.register(healthEndpoints, { context: { state } });
    await app.listen({ host: metricsHost, port: metricsPort ?? 0 });
  }
  return {
    metrics,
    state,
    async close() {
      await app?.close();
      metrics.end();
      state.end();
    },
  };
}
