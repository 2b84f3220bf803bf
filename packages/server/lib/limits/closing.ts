import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/** How long, in ms, a connection that is open when an app closes may take to come with a request: a proxy has just opened it. */
const UNUSED_MS = 1000;

/**
 * Ends, when an app closes, the connections that Node would wait for: those that nothing has come by, such as browsers open ahead,
 * which to it are not idle and never late; and those that were kept alive for more than the reply that was under way.
 */
export function endConnectionsOnClose(app: FastifyInstance): void {
  const server: Server = app.server;
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  let isClosing = false;
  app.addHook("onResponse", async ({ raw: { socket } }) => {
    if (isClosing && open.has(socket)) socket.destroySoon();
  });
  app.addHook("preClose", async () => {
    isClosing = true;
    setTimeout(() => {
      for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    }, UNUSED_MS).unref();
  });
}
