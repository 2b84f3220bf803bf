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
  const read = (request: FastifyRequest, payload: IncomingMessage) =>
    collect(payload, maxBodyBytes, request.byteShare).catch((error) => {
      throw error instanceof Problem
        ? error
        : new Problem("BAD_REQUEST", "The body ended too early.", { cause: error });
    });
  const parseJson = app.getDefaultJsonParser("error", "error");
  const readJson = async (request: FastifyRequest, payload: IncomingMessage) => {
    const bytes = await read(request, payload);
    return new Promise((resolve, reject) => {
      parseJson(request, bytes.toString("utf8"), (error, body) => (error ? reject(notJson(error)) : resolve(body)));
    });
  };
  app.addContentTypeParser(/^application\/(?:[\w.-]+\+)?json(?:$|[\s;])/i, readJson);
  app.addContentTypeParser("*", (request: FastifyRequest, payload: IncomingMessage) => read(request, payload));
}

function notJson(error: Error): Problem {
  return new Problem("INVALID_INPUT", `The body is not JSON: ${error.message.slice(0, 200)}.`, { cause: error });
}
