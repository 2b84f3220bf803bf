import type { FastifyRequest } from "fastify";
import { Problem } from "../problem.js";

/**
 * Checks what comes in another way than as a route's JSON body, which makes numbers of texts and such.
 * @param what names it in the error.
 * @throws Problem `INVALID_INPUT`
 */
export function checked<T>(
  request: FastifyRequest,
  schema: { readonly type: "object" },
  value: unknown,
  what: string,
): T {
  const validate = request.compileValidationSchema(schema);
  if (isValid<T>(validate, value)) return value;
  const [first] = validate.errors ?? [];
  throw new Problem("INVALID_INPUT", `${what}${first?.instancePath ?? ""} ${first?.message ?? "is not valid"}.`);
}

function isValid<T>(validate: (value: unknown) => boolean, value: unknown): value is T {
  return validate(value);
}
