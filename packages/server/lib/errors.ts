import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { Problem, problemOf } from "./problem.js";

/** Says what a problem is, to a protocol's clients. */
export type SendProblem = (problem: Problem, reply: FastifyReply) => FastifyReply;

/** Replies by RFC 9457. */
const sendProblem: SendProblem = (problem, reply) => reply.type("application/problem+json").send(problem.toJSON());

/** Replies to the errors of a scope, in a form of its own or by RFC 9457: also where its prefix has no such path. */
export function replyToErrors(app: FastifyInstance, send: SendProblem = sendProblem): void {
  app.setErrorHandler(errorHandler(send));
  app.setNotFoundHandler(async (request, reply) => {
    const methods = app.paths.methodsOf(pathOf(request));
    if (methods.length === 0) throw new Problem("NOT_FOUND", `There is no ${request.method} ${pathOf(request)}.`);
    reply.header("allow", methods.join(", "));
    throw new Problem("METHOD_NOT_ALLOWED", `${pathOf(request)} takes ${methods.join(", ")}, not ${request.method}.`);
  });
}

function errorHandler(send: SendProblem) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const problem = problemOf(error);
    if (problem.status >= 500 && !problem.isPassing)
      request.log.error({ err: problem.cause ?? problem }, "a request failed");
    // Node reads on what is left of a body, until the request's time is up, for who writes it to find the reply: a connection that is
    // closed before is reset, and the reply may be lost. What does not say its length may have no end.
    const hasEnd = request.raw.complete || request.headers["content-length"] !== undefined;
    if (!hasEnd) reply.header("connection", "close");
    return send(problem, reply.code(problem.status));
  };
}

/** Returns a request's path, without its query, which may have questions in it. */
export function pathOf({ url }: FastifyRequest): string {
  return (url.split("?")[0] ?? "").slice(0, 200);
}

const CLIENT_ERRORS: Readonly<Record<string, number>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 408,
  HPE_HEADER_OVERFLOW: 431,
};

/** The latest reply of each connection. */
const replies = new WeakMap<Socket, ServerResponse>();

/** Notes the replies that begin, for `onClientError`. */
export function watchReplies(app: FastifyInstance): void {
  app.addHook("onSend", async (request, reply) => void replies.set(request.raw.socket, reply.raw));
}

/** Replies to what is no HTTP, or did not come in time, which no handler sees. */
export function onClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const reply = replies.get(socket);
  if (reply?.headersSent && !reply.writableFinished) {
    // Within a reply that has begun another would be a part of it: what is written of it is sent, and no more.
    socket.destroySoon();
    return;
  }
  const status = CLIENT_ERRORS[error.code ?? ""] ?? 400;
  const [code, detail] =
    status === 408
      ? (["TIMEOUT", "The request did not come in time."] as const)
      : (["BAD_REQUEST", "This is no HTTP request."] as const);
  const body = JSON.stringify(new Problem(code, detail, { status }).toJSON());
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
