/** The producer's side: jobs, and what becomes of them. */
import { type Job, Queue, QueueEvents } from "bullmq";
import { picture } from "../../service/helpers/pictures.js";
import { until } from "../../service/helpers/ports.js";
import type { RedisServer } from "./redis.js";

export const base64 = picture.toString("base64");
export const questions = ["how many stars are there?", "what color is the square?"];

export class Jobs implements AsyncDisposable {
  readonly queue: Queue;
  /** How often each job was told of as completed. */
  readonly completions = new Map<string, number>();
  readonly #events: QueueEvents;

  private constructor(queue: Queue, events: QueueEvents) {
    this.queue = queue;
    this.#events = events;
    events.on("completed", ({ jobId }) => {
      this.completions.set(jobId, (this.completions.get(jobId) ?? 0) + 1);
    });
  }

  static async open({ port }: RedisServer, name = "pictures"): Promise<Jobs> {
    const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
    const queue = new Queue(name, { connection });
    const events = new QueueEvents(name, { connection });
    // A Redis that is killed is away for a while.
    queue.on("error", () => {});
    events.on("error", () => {});
    await events.waitUntilReady();
    return new Jobs(queue, events);
  }

  /** Adds a job, with the picture and questions where the data has none. */
  add(id: string, data: object = {}): Promise<Job> {
    return this.queue.add("picture", { picture: { base64 }, questions, ...data }, { jobId: id });
  }

  addMany(count: number): Promise<Job[]> {
    return Promise.all(Array.from({ length: count }, (_, i) => this.add(`job-${i}`)));
  }

  async completed(): Promise<number> {
    return this.queue.getCompletedCount();
  }

  /** Waits until so many are completed, and so many in the dead letters. */
  async settled(completed: number, failed = 0, mostMs = 90_000): Promise<void> {
    let counts = {};
    await until(
      "all jobs have ended",
      async () => {
        const now = await this.queue.getJobCounts("completed", "failed");
        counts = now;
        return now.completed === completed && now.failed === failed;
      },
      mostMs,
      50,
    ).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(counts)} of ${completed} and ${failed}`);
    });
  }

  async get(id: string): Promise<Job> {
    const job = await this.queue.getJob(id);
    if (job === undefined) throw new Error(`there is no job ${id}`);
    return job;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#events.close(), this.queue.close()]);
  }
}
