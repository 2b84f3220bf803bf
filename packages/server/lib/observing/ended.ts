import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

type Tell = (request: FastifyRequest, reply: FastifyReply) => void;

/** What is told, by app: a reply has one listener, however many want to know. */
const listeners = new WeakMap<FastifyInstance, Tell[]>();

/** Tells of each request once, when its reply was sent or its client has left: of the latter fastify's onResponse says nothing. */
export function onEnded(app: FastifyInstance, tell: Tell): void {
  const there = listeners.get(app);
  if (there !== undefined) {
    there.push(tell);
    return;
  }
  const all = [tell];
  listeners.set(app, all);
  const told = new WeakSet<FastifyRequest>();
  const once: Tell = (request, reply) => {
    if (told.has(request)) return;
    told.add(request);
    for (const each of all) each(request, reply);
  };
  app.addHook("onResponse", async (request, reply) => once(request, reply));
  app.addHook("onRequest", async (request, reply) => {
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) once(request, reply);
    });
  });
}
