import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { Problem } from "../problem.js";

/** Keys, kept and compared as hashes, so that neither their lengths nor their beginnings show in the time it takes. */
export class ApiKeys {
  readonly #digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#digests = keys.map(digestOf);
  }

  has(key: string): boolean {
    const digest = digestOf(key);
    // Each is compared, whichever it is.
    return this.#digests.filter((known) => timingSafeEqual(known, digest)).length > 0;
  }
}

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}

/** Lets in who has a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; to routes that are open, anybody. */
export function requireKey(app: FastifyInstance, keys: ApiKeys): void {
  app.addHook("onRequest", async (request, reply) => {
    if (request.routeOptions.config.open) return;
    const { authorization, "x-api-key": header } = request.headers;
    const [, bearer] = /^Bearer +(\S+) *$/i.exec(authorization ?? "") ?? [];
    const key = bearer ?? (typeof header === "string" ? header : undefined);
    if (key !== undefined && keys.has(key)) return;
    reply.header("www-authenticate", 'Bearer realm="neuron-blip"');
    throw new Problem(
      "UNAUTHORIZED",
      key === undefined ? "This server needs an API key." : "The API key is not known here.",
    );
  });
}

/** Reads the keys of a file: one a line; empty lines and those that begin with # are none. */
export function readKeys(text: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}
