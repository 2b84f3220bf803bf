import { performance } from "node:perf_hooks";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerContext } from "../context.js";
import { Problem } from "../problem.js";
import { finalStatus } from "../sse.js";
import type { ByteShare } from "./byte-budget.js";
import { tooLarge } from "./collect.js";
import { retryAfterSeconds, Throughput } from "./throughput.js";

/** What a protocol's route is: which takes a call of the model, and is counted as such. */
export interface Work {
  readonly api: string;
  readonly task: string;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Given by routes that the model works for: they are refused, before their body is read, where too much waits already. */
    work?: Work;
    /** Given by routes that need no key, and may be asked with any Host header; or, as the page, with one of this server's. */
    open?: boolean | "own host";
  }
  interface FastifyRequest {
    /** Aborted when the client leaves, with `Problem` `ABORTED`, and when the time is up, with `TIMEOUT`. */
    abortSignal: AbortSignal;
    /** Counts the bytes that the request has in hand. */
    byteShare: ByteShare;
  }
}

/** Gives each request its end: its client leaves, or its time is up; and counts its bytes until then. */
export function beginRequests(app: FastifyInstance, { bytesInHand, limits }: ServerContext): void {
  app.decorateRequest("abortSignal", { getter: signalOf });
  app.decorateRequest("byteShare", { getter: shareOf });
  app.addHook("onRequest", async (request, reply) => {
    const controller = new AbortController();
    const share = bytesInHand.share();
    requests.set(request, { signal: controller.signal, share });
    const timer = setTimeout(() => {
      controller.abort(new Problem("TIMEOUT", `The request took more than ${limits.requestTimeoutMs} ms.`));
    }, limits.requestTimeoutMs);
    let isDone = false;
    const end = () => {
      isDone = true;
      clearTimeout(timer);
      share.end();
    };
    reply.raw.once("finish", end);
    reply.raw.once("close", () => {
      if (!isDone) controller.abort(new Problem("ABORTED", "The client has left."));
      end();
    });
  });
}

/** Refuses requests before their body is read, where too many calls wait or too many bytes are in hand. */
export function checkQueue(app: FastifyInstance, { blip, bytesInHand, limits }: ServerContext): void {
  const throughput = new Throughput(performance.now());
  app.addHook("onRequest", async ({ headers, routeOptions }) => {
    if (routeOptions.config.work === undefined) return;
    const { callsWaiting, maxQueueLength } = blip.stats();
    if (callsWaiting >= maxQueueLength) {
      throw new Problem("QUEUE_FULL", `${callsWaiting} calls are waiting already. Try again later.`);
    }
    const declared = Number(headers["content-length"] ?? 0);
    if (declared > limits.maxBodyBytes) throw tooLarge(limits.maxBodyBytes);
    bytesInHand.checkRoom(declared);
  });
  app.addHook("onSend", async (request, reply) => {
    if (reply.statusCode !== 503 || request.routeOptions.config.work === undefined) return;
    const seconds = retryAfterSeconds(blip.stats().callsWaiting, throughput.perSecond(performance.now()));
    reply.header("retry-after", String(seconds));
  });
  app.addHook("onResponse", async ({ routeOptions }, reply) => {
    if (routeOptions.config.work && finalStatus(reply) < 400) throughput.add(performance.now());
  });
}

const requests = new WeakMap<FastifyRequest, { signal: AbortSignal; share: ByteShare }>();

function of(request: FastifyRequest): { signal: AbortSignal; share: ByteShare } {
  const entry = requests.get(request);
  if (entry === undefined) throw new TypeError("the request was not admitted");
  return entry;
}

function signalOf(this: FastifyRequest): AbortSignal {
  return of(this).signal;
}

function shareOf(this: FastifyRequest): ByteShare {
  return of(this).share;
}
