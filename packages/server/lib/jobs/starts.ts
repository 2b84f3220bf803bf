import type { Redis } from "ioredis";

/** How often jobs were begun with and not ended, since their process died: counted in Redis, in a hash beside the queue's keys. */
export class Starts {
  readonly #redis: Redis;
  readonly #key: string;

  /** @param queue the name of the jobs' queue. */
  constructor(redis: Redis, queue: string) {
    this.#redis = redis;
    this.#key = `neuron-blip:starts:${queue}`;
  }

  /** Says how often a job's process died under it. */
  async deathsOf(id: string): Promise<number> {
    return Number((await this.#redis.hget(this.#key, id)) ?? 0);
  }

  /** Sets how often it did, for a job that is to have so many chances less. */
  async setDeaths(id: string, deaths: number): Promise<void> {
    await this.#redis.hset(this.#key, id, deaths);
  }

  /** Notes that a job begins: until it ends, that counts as a death. */
  async begin(id: string): Promise<void> {
    await this.#redis.hincrby(this.#key, id, 1);
  }

  /** Notes that it ended, however that was. */
  async end(id: string): Promise<void> {
    await this.#redis.hdel(this.#key, id);
  }
}
