import type { Queue } from "bullmq";
import { Counter, Gauge, type Registry } from "prom-client";

/** What became of jobs. */
export type JobOutcome = "done" | "superseded" | "retried" | "waited" | "dead";

const STATES = ["waiting", "active", "delayed", "failed"] as const;

/** What Prometheus is told of jobs, in the registry of the model's metrics. */
export class JobMetrics {
  readonly #jobs: Counter<"outcome">;

  /** @param isAway whether Redis is: what it has is not told then, and the model's metrics are. */
  constructor(registry: Registry, queue: Pick<Queue, "getJobCounts">, isAway: () => boolean) {
    const registers = [registry];
    this.#jobs = new Counter({
      name: "neuron_blip_jobs_total",
      help: "Jobs that this worker has had in hand, by what became of them",
      labelNames: ["outcome"],
      registers,
    });
    new Gauge({
      name: "neuron_blip_queue_jobs",
      help: "Jobs of the queue by state; those that failed are the dead letters",
      labelNames: ["state"],
      registers,
      async collect() {
        this.reset();
        if (isAway()) return;
        const counts = await queue.getJobCounts(...STATES);
        for (const state of STATES) this.set({ state }, counts[state] ?? 0);
      },
    });
  }

  count(outcome: JobOutcome): void {
    this.#jobs.inc({ outcome });
  }
}
