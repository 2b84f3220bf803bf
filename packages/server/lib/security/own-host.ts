import { isIP } from "node:net";
import { hostname } from "node:os";
import type { FastifyInstance } from "fastify";
import { Problem } from "../problem.js";

/**
 * Refuses, where no key is needed, requests that other sites' pages make a browser send: those whose Host is a name that is not
 * this server's (a name may be made to lead here), and those whose Origin is another's.
 */
export function requireOwnHost(app: FastifyInstance, allowed: readonly string[]): void {
  const names = new Set(["localhost", hostname(), ...allowed].map((name) => name.toLowerCase()));
  app.addHook("onRequest", async ({ headers, routeOptions }) => {
    if (routeOptions.config.open === true) return;
    const host = headers.host ?? "";
    const name = nameOf(host);
    if (name === undefined || !(names.has(name) || names.has("*") || isIP(name))) {
      throw new Problem("FOREIGN_HOST", "The Host header is not of this server. --allow-host adds a name.");
    }
    const { origin } = headers;
    if (origin === undefined || originHost(origin) === host.toLowerCase()) return;
    throw new Problem("FOREIGN_HOST", "The Origin header is another site's.");
  });
}

/** Returns the name in a Host header, without brackets and port. */
function nameOf(host: string): string | undefined {
  const [, address, name] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::\d+)?$/.exec(host.toLowerCase()) ?? [];
  return address ?? name;
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
