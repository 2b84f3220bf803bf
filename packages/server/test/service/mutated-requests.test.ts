import assert from "node:assert/strict";
import { assertAnswers } from "./helpers/asking.js";
import { figure, mib, tally } from "./helpers/figures.js";
import { isWhole, mutatedRequest } from "./helpers/mutated-requests.js";
import { until } from "./helpers/ports.js";
import { exchange, type RawReply } from "./helpers/raw.js";
import { ServerProcess } from "./helpers/server-process.js";

/** Another one tries others: SEED=2 npm run test:service. */
const SEED = Number(process.env.SEED ?? 1);
const COUNT = 10_000;
/** Sent before, so that what grows once has grown. */
const WARM_UP = 3000;
const AT_A_TIME = 24;
const MIB = 2 ** 20;

/** What is wrong with a reply. */
function faultOf({ status, contentType, body }: RawReply): string | undefined {
  if (status === 500) return "500";
  if (status < 400) return undefined;
  if (body === "") return undefined; // to HEAD, and what Node itself refuses
  if (!/json/.test(contentType)) return `${status} of ${contentType}`;
  const { code, error } = JSON.parse(body);
  return code === undefined && error === undefined ? `${status} without a code` : undefined;
}

describe(`10,000 mutated requests`, function () {
  this.timeout(240_000);
  let server: ServerProcess;
  before(async () => {
    server = await ServerProcess.start({ args: ["--allow-url", "pictures.test"] });
  });
  after(() => server?.[Symbol.asyncDispose]());

  /** Sends those of a range. @returns the replies' statuses. */
  const send = async (from: number, to: number): Promise<number[]> => {
    const statuses: number[] = [];
    const faults: string[] = [];
    let next = from;
    const sendAll = async () => {
      while (next < to) {
        const index = next++;
        const { what, bytes } = mutatedRequest(SEED, index);
        // Where the server waits for the rest, there may be none to come.
        const waits = !isWhole(bytes);
        const start = performance.now();
        const replies = await exchange(server.port, bytes, waits ? 150 : 40_000);
        const ms = performance.now() - start;
        if (!waits && replies.length === 0 && ms > 35_000)
          faults.push(`${index}, ${what}: no reply after ${ms.toFixed(0)} ms`);
        for (const reply of replies) {
          const fault = faultOf(reply);
          if (fault !== undefined) faults.push(`${index}, ${what}: ${fault}: ${reply.body.slice(0, 300)}`);
        }
        statuses.push(replies[0]?.status ?? 0);
        if (server.hasEnded) throw new Error(`the server ended at ${index}, ${what}: ${server.output}`);
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, sendAll));
    assert.deepEqual(faults.slice(0, 20), [], `${faults.length} faults with seed ${SEED}`);
    return statuses;
  };

  it("end no server, and leave no descriptor, no memory and no untyped 500", async () => {
    await send(COUNT, COUNT + WARM_UP);
    await assertAnswers(server.url);
    const [before, descriptors] = [await server.memory(), server.descriptors()];
    const start = performance.now();
    const statuses = await send(0, COUNT);
    const seconds = (performance.now() - start) / 1000;
    await assertAnswers(server.url);
    await until("the descriptors are closed", () => server.descriptors() <= descriptors + 4, 10_000);
    const after = await server.memory();
    const grown = (name: keyof typeof after) => after[name] - before[name];
    figure(`${COUNT} mutated requests with seed ${SEED}`, `${tally(statuses)}; ${seconds.toFixed(0)} s`);
    figure(
      "growth",
      `${server.descriptors() - descriptors} descriptors, heap ${mib(grown("heapUsed"))}, external ${mib(grown("external"))}, resident ${mib(before.rss)} to ${mib(after.rss)}`,
    );
    assert(grown("heapUsed") <= 10 * MIB, `the heap grew by ${mib(grown("heapUsed"))}`);
    assert(grown("external") <= 20 * MIB, `what is beside the heap grew by ${mib(grown("external"))}`);
    assert(grown("rss") <= 100 * MIB, `the process grew by ${mib(grown("rss"))}`);
    assert.doesNotMatch(server.output, /uncaught|unhandled|"level":60/i);
  });
});
