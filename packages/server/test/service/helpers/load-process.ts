/**
 * Asks a server, from a process of its own, as its parent plans, and until it is told to stop: `callers` that each ask again once
 * they are answered, or Poisson arrivals, which come whether the earlier ones are answered or not. Sends what became of each
 * request to its parent.
 */
import { Agent, request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { LoadMessage, LoadPlan, LoadResult, Sent } from "./load.js";
import { picture } from "./pictures.js";

let isStopped = false;

process.on("message", async (message: LoadMessage) => {
  if (message === "stop") isStopped = true;
  else process.send?.(await run(message));
});

async function run({ url, arrivals, seconds, seed = 1, keepAlive = true }: LoadPlan): Promise<LoadResult> {
  isStopped = false;
  const agent = new Agent({ keepAlive, maxSockets: Number.POSITIVE_INFINITY });
  const dice = xoroshiro128plus(seed);
  const sent: Promise<Sent>[] = [];
  const started = performance.now();
  const isOver = () => isStopped || performance.now() - started > seconds * 1000;
  const ask = (due: number) => {
    const one = send(url, agent, started, due);
    sent.push(one);
    return one;
  };
  const askAgainAndAgain = async () => {
    while (!isOver()) await ask(performance.now());
  };
  const arrive = async (perSecond: number) => {
    for (let due = started; !isOver(); ) {
      due += (-Math.log(1 - uniformFloat64(dice)) / perSecond) * 1000;
      const early = due - performance.now();
      // A timer comes up to a ms late: what is due by then goes at once.
      if (early > 0.5) await wait(early);
      if (!isOver()) void ask(due);
    }
  };
  if ("callers" in arrivals) await Promise.all(Array.from({ length: arrivals.callers }, askAgainAndAgain));
  else await arrive(arrivals.perSecond);
  const ms = performance.now() - started;
  const results = await Promise.all(sent);
  agent.destroy();
  return { ms, sent: results };
}

function send(url: string, agent: Agent, started: number, due: number): Promise<Sent> {
  const at = performance.now();
  return new Promise<Sent>((resolve) => {
    const done = (status: number, code: string, retryAfter?: string) => {
      const ms = performance.now() - at;
      resolve({ at: at - started, lagMs: at - due, ms, status, code, ...(retryAfter !== undefined && { retryAfter }) });
    };
    const headers = { "content-type": "image/png", "content-length": picture.length };
    const outgoing = request(url, { method: "POST", agent, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error: NodeJS.ErrnoException) => done(0, error.code ?? error.message));
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        done(status, status === 200 ? "" : codeOf(Buffer.concat(chunks)), response.headers["retry-after"]);
      });
    });
    outgoing.on("error", (error: NodeJS.ErrnoException) => done(0, error.code ?? error.message));
    outgoing.end(picture);
  });
}

function codeOf(body: Buffer): string {
  try {
    return String(JSON.parse(body.toString()).code);
  } catch {
    return body.toString("latin1", 0, 100);
  }
}
