import type { Queue } from "bullmq";
import type { Redis } from "ioredis";
import { Starts } from "./starts.js";

/** Where the jobs are. */
export interface Queues {
  readonly bullmq: typeof import("bullmq");
  readonly name: string;
  readonly queue: Queue;
  readonly starts: Starts;
  /** Tells of what goes wrong with Redis. */
  readonly say: (error: Error) => void;
  /** Tells whether Redis cannot be asked now. */
  isAway(): boolean;
  /** Makes a connection that waits for a Redis that is away, as long as it takes. */
  newConnection(): Redis;
  close(): Promise<void>;
}

export interface QueueAddress {
  readonly server: string;
  readonly name: string;
}

/**
 * Reads redis://HOST:PORT/NAME, or rediss://; a number before the name is the database: redis://HOST/2/NAME.
 * @returns undefined where it is none.
 */
export function readQueueAddress(text: string): QueueAddress | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const [, database, name] = /^\/(?:(\d+)\/)?([\w.-]+)$/.exec(url.pathname) ?? [];
  if (!/^rediss?:$/.test(url.protocol) || name === undefined || url.hostname === "") return undefined;
  url.pathname = database === undefined ? "" : `/${database}`;
  return { server: url.href, name };
}

/** Opens a queue. @returns undefined where bullmq or ioredis is not installed. */
export async function openQueues(
  { server, name }: QueueAddress,
  say: (error: Error) => void,
): Promise<Queues | undefined> {
  const packages = await importPackages();
  if (packages === undefined) return undefined;
  const { bullmq, ioredis } = packages;
  const connections: Redis[] = [];
  const newConnection = () => {
    // BullMQ wants its commands kept until they can be sent.
    const redis = new ioredis.Redis(server, { maxRetriesPerRequest: null });
    redis.on("error", say);
    connections.push(redis);
    return redis;
  };
  const own = newConnection();
  const queue = new bullmq.Queue(name, { connection: own });
  queue.on("error", say);
  return {
    bullmq,
    name,
    queue,
    starts: new Starts(own, name),
    say,
    isAway: () => own.status !== "ready",
    newConnection,
    async close() {
      await queue.close();
      for (const redis of connections) redis.disconnect();
    },
  };
}

async function importPackages() {
  try {
    return { bullmq: await import("bullmq"), ioredis: await import("ioredis") };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
