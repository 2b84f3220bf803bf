import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type Problem, problemOf } from "./problem.js";

/** One event of a stream: its data as JSON, or as they are where they are a string. */
export interface ServerSentEvent {
  readonly event?: string;
  readonly data: unknown;
}

/** Of streams that failed after their reply had begun, with 200. */
const failures = new WeakMap<FastifyReply, Problem>();

/** Returns how a request ended: with the status of its reply, or of what failed in the midst of a stream. */
export function finalStatus(reply: FastifyReply): number {
  return failures.get(reply)?.status ?? reply.statusCode;
}

/** Tells whether a client asks for events rather than one reply. */
export function wantsEvents({ headers }: FastifyRequest): boolean {
  return /(?:^|[,\s])text\/event-stream(?:$|[\s,;])/i.test(headers.accept ?? "");
}

/**
 * Replies with events as they come. What fails before the first is an error as any; later, it is the last event.
 * @param toEvent says what an error is to the protocol's clients.
 */
export async function replyWithEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  events: AsyncGenerator<ServerSentEvent, void, void>,
  toEvent: (problem: Problem) => ServerSentEvent,
): Promise<FastifyReply> {
  const first = await events.next();
  async function* lines(): AsyncGenerator<string, void, void> {
    try {
      for (let next = first; !next.done; next = await events.next()) yield textOf(next.value);
    } catch (error) {
      const problem = problemOf(error);
      failures.set(reply, problem);
      if (problem.status >= 500) request.log.error({ err: problem.cause ?? problem }, "a stream failed");
      yield textOf(toEvent(problem));
    } finally {
      await events.return();
    }
  }
  return reply
    .header("content-type", "text/event-stream; charset=utf-8")
    .header("cache-control", "no-store")
    .header("x-accel-buffering", "no") // nginx would hold the events back
    .send(Readable.from(lines(), { objectMode: false }));
}

function textOf({ event, data }: ServerSentEvent): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  return `${event === undefined ? "" : `event: ${event}\n`}data: ${text}\n\n`;
}
