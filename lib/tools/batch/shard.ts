/** Which lines of an input belong to which of several runs. */
import { createHash } from "node:crypto";
import { BatchError } from "./batch-error.js";

export interface Shard {
  /** From 1 to `count`. */
  readonly index: number;
  readonly count: number;
}

/** What a Kubernetes Indexed Job tells each of its pods: its index, from 0. */
const JOB_INDEX = "JOB_COMPLETION_INDEX";

/**
 * Reads `i/n`, with i from 1 to n, or `auto/n`, where the environment says i.
 * @throws BatchError
 */
export function readShard(text: string, environment: Readonly<Record<string, string | undefined>>): Shard {
  const [, which, of] = /^(auto|\d{1,9})\/(\d{1,9})$/.exec(text) ?? [];
  if (which === undefined) {
    throw new BatchError(`--shard takes i/n, such as 1/4, or auto/n, not "${text.slice(0, 100)}".`);
  }
  const given = environment[JOB_INDEX] ?? "";
  if (which === "auto" && !/^\d{1,9}$/.test(given)) {
    throw new BatchError(
      `--shard ${text} takes i from ${JOB_INDEX}, which a Kubernetes Indexed Job sets, and it is not set.`,
    );
  }
  const index = which === "auto" ? Number(given) + 1 : Number(which);
  const count = Number(of);
  if (index >= 1 && index <= count) return { index, count };
  throw new BatchError(
    which === "auto"
      ? `${JOB_INDEX} is ${given}, which counts from 0: of ${count} shards there is none.`
      : `--shard ${text}: the first number goes from 1 to the second.`,
  );
}

/** Tells whether a line belongs to a shard. By a hash of its id alone, so that an input that grows moves none of its lines. */
export function belongsTo({ index, count }: Shard, id: string | number): boolean {
  if (count === 1) return true;
  const hash = createHash("sha256").update(String(id)).digest();
  return hash.readUIntBE(0, 6) % count === index - 1;
}
