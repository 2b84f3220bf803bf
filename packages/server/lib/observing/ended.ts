import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** Tells of each request once, when its reply was sent or its client has left: of the latter fastify's onResponse says nothing. */
export function onEnded(app: FastifyInstance, tell: (request: FastifyRequest, reply: FastifyReply) => void): void {
  const told = new WeakSet<FastifyRequest>();
  const once = (request: FastifyRequest, reply: FastifyReply) => {
    if (told.has(request)) return;
    told.add(request);
    tell(request, reply);
  };
  app.addHook("onResponse", async (request, reply) => once(request, reply));
  app.addHook("onRequest", async (request, reply) => {
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) once(request, reply);
    });
  });
}
