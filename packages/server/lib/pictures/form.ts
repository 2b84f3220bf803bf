import type { FastifyRequest } from "fastify";
import { collect } from "../limits/collect.js";
import type { Limits } from "../options.js";
import { Problem } from "../problem.js";

/** A multipart form: its one file, and each field's values. */
export interface Form {
  readonly picture: Buffer;
  readonly fields: Readonly<Record<string, string[]>>;
}

/** Reads a form. @throws Problem `INVALID_INPUT`, `BODY_TOO_LARGE`, `BUSY`; what fastify's multipart says of its limits. */
export async function readForm(request: FastifyRequest, limits: Limits): Promise<Form> {
  try {
    return await readParts(request, limits);
  } catch (error) {
    // What is left of the body is dropped as it comes: the connection is for further requests.
    request.raw.unpipe();
    request.raw.resume();
    if (codeOf(error) === "FST_FILES_LIMIT") throw new Problem("INVALID_INPUT", "The form has more than one file.");
    if (OF_FIELDS.includes(codeOf(error))) throw new Problem("INVALID_INPUT", "The form has too many fields.");
    if (error instanceof Problem || (error instanceof Error && "statusCode" in error)) throw error;
    // The parser's own errors have nothing but a message.
    throw new Problem("INVALID_INPUT", "The form cannot be read: it is cut, or not multipart/form-data.", {
      cause: error,
    });
  }
}

const OF_FIELDS: readonly unknown[] = ["FST_FIELDS_LIMIT", "FST_PARTS_LIMIT"];

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

async function readParts(request: FastifyRequest, { maxBodyBytes }: Limits): Promise<Form> {
  const fields = new Map<string, string[]>();
  let picture: Buffer | undefined;
  for await (const part of request.parts()) {
    if (part.type === "file") {
      if (part.fieldname !== "picture") {
        throw new Problem(
          "INVALID_INPUT",
          `The form's file is called "picture", not "${part.fieldname.slice(0, 50)}".`,
        );
      }
      picture = await collect(part.file, maxBodyBytes, request.byteShare);
      if (part.file.truncated) throw new Problem("BODY_TOO_LARGE", `The picture has more than ${maxBodyBytes} bytes.`);
      continue;
    }
    if (part.valueTruncated || part.fieldnameTruncated || typeof part.value !== "string") {
      throw new Problem("INVALID_INPUT", `The form's field "${part.fieldname.slice(0, 50)}" is too long, or no text.`);
    }
    request.byteShare.take(part.value.length);
    fields.set(part.fieldname, [...(fields.get(part.fieldname) ?? []), part.value]);
  }
  if (picture === undefined) throw new Problem("INVALID_INPUT", 'The form has no file called "picture".');
  return { picture, fields: Object.fromEntries(fields) };
}
