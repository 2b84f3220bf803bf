import type { FastifyInstance, FastifyReply } from "fastify";
import type { ServerContext } from "../context.js";

/** Serves /livez, /readyz and /startupz: 200, or 503 with the reason. A server listens only once its model is loaded. */
export async function healthEndpoints(
  app: FastifyInstance,
  { context }: { context: Pick<ServerContext, "state"> },
): Promise<void> {
  const { state } = context;
  const endpoint = (path: string, summary: string, why: () => string | undefined) =>
    app.get(path, { schema: { summary }, config: { open: true } }, async (_, reply) => tell(reply, why()));
  endpoint("/livez", "Whether the process should go on", () => state.whyDead);
  endpoint("/readyz", "Whether requests may come", () => state.whyUnready);
  endpoint("/startupz", "Whether the model is loaded", () => undefined);
}

/** Replies whether all is well, or why not. */
export function tell(reply: FastifyReply, why: string | undefined): FastifyReply {
  return reply
    .code(why === undefined ? 200 : 503)
    .header("cache-control", "no-store")
    .type("text/plain; charset=utf-8")
    .send(why === undefined ? "ok\n" : `${why}\n`);
}
