import type { FastifyRequest } from "fastify";
import type { ServerContext } from "../context.js";
import { readForm } from "../pictures/form.js";
import type { JsonPicture } from "../pictures/picture-reader.js";
import { checked } from "./checked.js";

/** A JSON body of our own endpoints, which its schema has checked. */
export type JsonBody<Fields> = Fields & { readonly picture: JsonPicture };

/** A route of our own: its JSON body's fields, and those of a query or a form. */
export interface OwnRoute<Fields, FormFields> {
  Body: JsonBody<Fields> | Buffer | undefined;
  Querystring: FormFields;
}

/** What was asked: the picture's bytes, and the fields, from wherever they came. */
export interface Asked<Fields, FormFields> {
  readonly picture: Buffer;
  readonly json: Omit<JsonBody<Fields>, "picture"> | undefined;
  readonly form: FormFields;
}

/**
 * Reads a request of our own endpoints: a picture with a query, a form, or JSON.
 * @param formSchema of a form's fields, which it checks and turns into numbers and such.
 * @throws Problem
 */
export async function readAsked<Fields extends object, FormFields extends object>(
  { pictures, limits }: ServerContext,
  request: FastifyRequest,
  { body, query }: { readonly body: JsonBody<Fields> | Buffer | undefined; readonly query: FormFields },
  formSchema: { readonly type: "object"; readonly properties: object },
): Promise<Asked<Fields, FormFields>> {
  if (request.isMultipart()) {
    const { picture, fields } = await readForm(request, limits);
    return {
      picture,
      json: undefined,
      form: { ...query, ...checked<FormFields>(request, formSchema, fields, "form") },
    };
  }
  if (body === undefined || body === null || Buffer.isBuffer(body)) {
    return { picture: pictures.fromBody(request), json: undefined, form: query };
  }
  const { picture, ...json } = body;
  return { picture: await pictures.fromJson(picture, request), json, form: query };
}
