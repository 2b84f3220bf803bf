import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

/** A port of loopback that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}

/** The port that a server listens on. */
export function portOf(server: Pick<Server, "address">): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server listens on no port");
  return address.port;
}

/** Asks again and again until the answer is yes. @throws where that takes too long. */
export async function until(what: string, isSo: () => boolean | Promise<boolean>, mostMs = 30_000, pauseMs = 25) {
  const end = performance.now() + mostMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`not within ${mostMs} ms: ${what}`);
    await wait(pauseMs);
  }
}

/** Whether somebody listens on a port of loopback. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
