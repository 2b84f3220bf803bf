import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/**
 * Ends, when an app closes, the connections that nothing has come by, such as those that browsers open ahead. Node waits for them,
 * without end: to it they are not idle, and a closing server looks for late requests no more.
 */
export function endUnusedConnections(app: FastifyInstance): void {
  const server: Server = app.server;
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  app.addHook("preClose", async () => {
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
  });
}
