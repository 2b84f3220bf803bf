/** The form of a job's data, which its producer has chosen: none of it is trusted. */
import { Ajv } from "ajv";
import { Problem } from "../problem.js";
import { GENERATION_OPTIONS, type GenerationFields } from "../protocols/generation-options.js";

export type JobPicture = { readonly url: string } | { readonly file: string } | { readonly base64: string };

export interface Job {
  readonly picture: JobPicture;
  /** Default: the standing questions. */
  readonly questions?: readonly string[];
  readonly options?: GenerationFields & { readonly truncation?: boolean };
}

const TEXT = { type: "string", minLength: 1 };
const pictureBy = (name: string) => ({
  type: "object",
  required: [name],
  additionalProperties: false,
  properties: { [name]: TEXT },
});

const SCHEMA = {
  type: "object",
  required: ["picture"],
  properties: {
    picture: { anyOf: [pictureBy("url"), pictureBy("file"), pictureBy("base64")] },
    questions: { type: "array", items: TEXT },
    options: {
      type: "object",
      additionalProperties: false,
      properties: { ...GENERATION_OPTIONS, truncation: { type: "boolean" } },
    },
  },
};

const validate = new Ajv({ allowUnionTypes: true }).compile<Job>(SCHEMA);

/** Checks a job's data. Fields of the producer's own may stand beside. @throws Problem `INVALID_INPUT` */
export function jobOf(data: unknown): Job {
  if (validate(data)) return data;
  // Of the three kinds of picture each has complaints of its own.
  const error = validate.errors?.find(({ keyword }) => keyword === "anyOf") ?? validate.errors?.[0];
  const where = `job${error?.instancePath ?? ""}`;
  const what =
    error?.keyword === "anyOf" ? "must be { url }, { file } or { base64 }" : (error?.message ?? "is not valid");
  throw new Problem("INVALID_INPUT", `${where} ${what}.`);
}

/** Returns what a job is told apart by, of those that take each other's place; undefined where it has none. */
export function keyOf(data: unknown, field: string): string | undefined {
  const value =
    typeof data === "object" && data !== null ? Object.entries(data).find(([name]) => name === field) : undefined;
  return typeof value?.[1] === "string" || typeof value?.[1] === "number" ? String(value[1]) : undefined;
}
