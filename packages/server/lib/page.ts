/** The page at /, for a person with a browser: its files, and what it asks about this server. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { FastifyInstance } from "fastify";
import type { Architecture } from "neuron-blip";
import type { ServerContext } from "./context.js";

/** The files of `page/`, by their paths from it. Each is a route of its own: no client's path is ever looked up on the disk. */
const FILES = [
  "index.html",
  "style.css",
  "icon.svg",
  "main.js",
  "answers.js",
  "elements.js",
  "events.js",
  "key.js",
  "picture.js",
  "problems.js",
  "server.js",
  "tasks.js",
] as const;

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:", // the picture that was chosen
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const HEADERS = {
  // It is asked about each time, and sent where it has changed: a new version of the server is seen at once.
  "cache-control": "no-cache",
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
} as const;

const TASKS: Readonly<Record<Architecture, string>> = {
  BlipForQuestionAnswering: "answer",
  BlipForConditionalGeneration: "caption",
  BlipForImageTextRetrieval: "match",
};

/** Serves the page. It opens without a key, which it asks for where `page/settings` is refused. */
export async function page(app: FastifyInstance, { context }: { context: ServerContext }): Promise<void> {
  for (const name of FILES) {
    const content = readFileSync(new URL(`../page/${name}`, import.meta.url));
    const type = TYPES[name.split(".").pop() ?? ""] ?? "application/octet-stream";
    const etag = `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"`;
    const path = name === "index.html" ? "/" : `/page/${name}`;
    const options = { schema: { hide: true }, config: { open: "own host" } } as const;
    app.get(path, options, async ({ headers }, reply) => {
      reply.headers({ ...HEADERS, etag });
      // A proxy that compresses makes a weak tag of it: W/"...".
      if (headers["if-none-match"]?.includes(etag)) return reply.code(304).send();
      return reply.type(type).send(content);
    });
  }
  const { blip, modelName, limits, standingQuestions } = context;
  const { maxBodyBytes, maxQuestionLength } = limits;
  const task = TASKS[blip.architecture];
  app.get("/page/settings", { schema: { hide: true } }, async (_, reply) =>
    reply
      .header("cache-control", "no-store")
      .send({ modelName, task, maxBodyBytes, maxQuestionLength, standingQuestions }),
  );
}
