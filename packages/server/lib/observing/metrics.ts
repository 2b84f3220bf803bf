import { performance } from "node:perf_hooks";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type NeuronBlip, type NeuronBlipStats, onDiagnostics } from "neuron-blip";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { Problem } from "../problem.js";
import { finalStatus } from "../sse.js";
import { BUILD } from "./build.js";
import { onEnded } from "./ended.js";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const ROWS = [1, 2, 4, 8, 16, 32, 64];
const BYTES = [4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/** What Prometheus is told. All names begin with `neuron_blip_`. */
export class ServerMetrics {
  readonly registry = new Registry();
  readonly timeToFirstToken: Histogram;
  readonly #requests: Counter<"api" | "task" | "outcome">;
  readonly #duration: Histogram<"api" | "task">;
  readonly #stops: readonly (() => void)[];

  constructor(blip: NeuronBlip) {
    const registers = [this.registry];
    const histogram = <Label extends string = never>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: Label[] = [],
    ) => new Histogram({ name: `neuron_blip_${name}`, help, buckets, labelNames, registers });
    this.#requests = new Counter({
      name: "neuron_blip_requests_total",
      help: "Requests that the model was asked to work for",
      labelNames: ["api", "task", "outcome"],
      registers,
    });
    this.#duration = histogram(
      "request_duration_seconds",
      "From a request's headers to the end of its reply",
      SECONDS,
      ["api", "task"],
    );
    this.timeToFirstToken = histogram(
      "time_to_first_token_seconds",
      "From a streamed call to its first piece",
      SECONDS,
    );
    const queueWait = histogram("queue_wait_seconds", "How long calls' first rows waited for a batch", SECONDS);
    const batchRows = histogram("batch_rows", "Rows of a batch of texts", ROWS);
    const stageSeconds = histogram("stage_seconds", "How long stages took", SECONDS, ["stage"]);
    const pictureBytes = histogram("picture_bytes", "Sizes of pictures' files", BYTES);
    tellOfStats(blip, registers);
    this.#stops = [
      onDiagnostics("neuron-blip:stage", ({ stage, durationMs }) => stageSeconds.observe({ stage }, durationMs / 1000)),
      onDiagnostics("neuron-blip:picture", ({ bytes }) => pictureBytes.observe(bytes)),
      onDiagnostics("neuron-blip:batch", ({ kind, rows, calls }) => {
        if (kind !== "texts") return;
        batchRows.observe(rows);
        for (const { queueWaitMs } of calls) queueWait.observe(queueWaitMs / 1000);
      }),
    ];
  }

  /** Counts the requests of routes that the model works for. */
  countRequests(app: FastifyInstance): void {
    const began = new WeakMap<FastifyRequest, number>();
    app.addHook("onRequest", async (request) => void began.set(request, performance.now()));
    onEnded(app, (request, reply) => {
      const { work } = request.routeOptions.config;
      if (work === undefined) return;
      const { api, task } = work;
      this.#requests.inc({ api, task, outcome: outcomeOf(request, reply) });
      this.#duration.observe({ api, task }, (performance.now() - (began.get(request) ?? 0)) / 1000);
    });
  }

  end(): void {
    for (const stop of this.#stops) stop();
    this.registry.clear();
  }
}

function outcomeOf({ abortSignal }: FastifyRequest, reply: FastifyReply): string {
  if (abortSignal.reason instanceof Problem) return abortSignal.reason.code === "TIMEOUT" ? "timeout" : "aborted";
  const status = finalStatus(reply);
  if (status < 400) return "ok";
  if (status === 503) return "refused";
  return status < 500 ? "invalid" : "failed";
}

/** Registers the metrics that the library counts, read when Prometheus asks. */
function tellOfStats(blip: NeuronBlip, registers: Registry[]): void {
  const gauge = (name: string, help: string, of: (stats: NeuronBlipStats) => number) =>
    new Gauge({
      name: `neuron_blip_${name}`,
      help,
      registers,
      collect() {
        this.set(of(blip.stats()));
      },
    });
  const counter = (name: string, help: string, of: (stats: NeuronBlipStats) => number) =>
    new Counter({
      name: `neuron_blip_${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(of(blip.stats()));
      },
    });
  gauge("requests_waiting", "Calls that no replica has begun with", ({ callsWaiting }) => callsWaiting);
  gauge("requests_running", "Calls that a replica has begun with", ({ callsRunning }) => callsRunning);
  gauge("queue_limit", "How many calls may wait", ({ maxQueueLength }) => maxQueueLength);
  gauge("picture_cache_bytes", "What the pictures in the cache take", ({ pictureCache }) => pictureCache.bytes);
  new Gauge({
    name: "neuron_blip_replicas",
    help: "Replicas by state",
    labelNames: ["state"],
    registers,
    collect() {
      const { inUse, reloading, givenUp } = blip.stats().replicas;
      this.set({ state: "in_use" }, inUse);
      this.set({ state: "reloading" }, reloading);
      this.set({ state: "given_up" }, givenUp);
    },
  });
  counter(
    "replica_failures_total",
    "How often a replica was taken out of use",
    ({ replicaFailures }) => replicaFailures,
  );
  counter("picture_cache_hits_total", "Pictures that the cache had", ({ pictureCache }) => pictureCache.hits);
  counter("picture_cache_misses_total", "Pictures that the cache had not", ({ pictureCache }) => pictureCache.misses);
  counter("generated_tokens_total", "Tokens that were generated", ({ generatedTokens }) => generatedTokens);
  new Gauge({
    name: "neuron_blip_build_info",
    help: "What runs",
    labelNames: ["version", "server_version", "architecture", "node"],
    registers,
  }).set(
    { version: BUILD.library, server_version: BUILD.server, architecture: blip.architecture, node: process.version },
    1,
  );
}

/** Serves GET /metrics. */
export async function metricsEndpoint(
  app: FastifyInstance,
  { metrics, open = false }: { metrics: ServerMetrics; open?: boolean },
): Promise<void> {
  app.get("/metrics", { schema: { summary: "Metrics for Prometheus" }, config: { open } }, async (_, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}
