import type { IncomingMessage } from "node:http";
import multipart from "@fastify/multipart";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Limits } from "../options.js";
import { Problem } from "../problem.js";
import { collect } from "./collect.js";

/** The most fields of a form, beside its questions. */
const OTHER_FIELDS = 64;

/** Reads bodies: JSON as such, forms when a route asks for their parts, and everything else as bytes. */
export function readBodies(app: FastifyInstance, { maxBodyBytes, maxQuestions, maxQuestionLength }: Limits): void {
  app.removeAllContentTypeParsers();
  app.register(multipart, {
    throwFileSizeLimit: true,
    limits: {
      fileSize: maxBodyBytes,
      files: 1,
      fields: maxQuestions + OTHER_FIELDS,
      parts: maxQuestions + OTHER_FIELDS + 1,
      // UTF-8 has up to 4 bytes a character; one more tells what is too long.
      fieldSize: 4 * (maxQuestionLength + 1),
      fieldNameSize: 100,
      headerPairs: 20,
    },
  });
  const parseJson = jsonParser(app);
  // The routes' schemas check this type and no other: JSON by another name would be checked by none.
  app.addContentTypeParser("application/json", async (request: FastifyRequest, payload: IncomingMessage) =>
    parseJson(request, await readBytes(request, payload, maxBodyBytes)),
  );
  app.addContentTypeParser("*", (request: FastifyRequest, payload: IncomingMessage) =>
    readBytes(request, payload, maxBodyBytes),
  );
}

/** Reads every body of a scope as bytes, JSON included. */
export function readBodiesAsBytes(app: FastifyInstance, { maxBodyBytes }: Limits): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request: FastifyRequest, payload: IncomingMessage) =>
    readBytes(request, payload, maxBodyBytes),
  );
}

/** Parses JSON, but no names that change what objects are. It rejects with Problem `INVALID_INPUT`. */
export function jsonParser(app: FastifyInstance): (request: FastifyRequest, bytes: Buffer) => Promise<unknown> {
  const parse = app.getDefaultJsonParser("error", "error");
  return (request, bytes) =>
    new Promise((resolve, reject) => {
      parse(request, bytes.toString("utf8"), (error, body) => (error ? reject(notJson(error)) : resolve(body)));
    });
}

async function readBytes(request: FastifyRequest, payload: IncomingMessage, maxBytes: number): Promise<Buffer> {
  try {
    // Refused in its midst, its sender finds the reply: the connection is left, and the rest is dropped as it comes.
    return await collect(payload.iterator({ destroyOnReturn: false }), maxBytes, request.byteShare);
  } catch (error) {
    payload.resume();
    if (error instanceof Problem) throw error;
    throw new Problem("BAD_REQUEST", "The body ended too early.", { cause: error });
  }
}

function notJson(error: Error): Problem {
  return new Problem("INVALID_INPUT", `The body is not JSON: ${error.message.slice(0, 200)}.`, { cause: error });
}
