/** The schemas of our own endpoints: they check the requests, and make /openapi.json. */
import { JSON_PICTURE } from "../pictures/picture-reader.js";
import { GENERATION_OPTIONS } from "./generation-options.js";

const TEXTS = { type: "array", items: { type: "string", minLength: 1 } } as const;
const TRUNCATION = { truncation: { type: "boolean" } } as const;
const RANKING = {
  k: { type: "integer", minimum: 1 },
  labelSmoothing: { type: "number", minimum: 0, exclusiveMaximum: 1 },
} as const;

/** An endpoint's fields, by what they are called in JSON, and in a query or a form, where a list is a name that is repeated. */
interface Fields {
  readonly json: Readonly<Record<string, object>>;
  readonly form: Readonly<Record<string, object>>;
  readonly required?: readonly string[];
}

function fieldsOf(
  lists: Readonly<Record<string, string>>,
  options: Readonly<Record<string, object>>,
): Pick<Fields, "json" | "form"> {
  const named = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, TEXTS]));
  return {
    json: { ...named(Object.keys(lists)), ...options },
    form: { ...named(Object.values(lists)), ...options },
  };
}

export const ANSWER = fieldsOf({ questions: "question" }, { ...GENERATION_OPTIONS, ...TRUNCATION });
export const CAPTION = fieldsOf({}, { prompt: { type: "string", maxLength: 512 }, ...GENERATION_OPTIONS });
export const MATCH = fieldsOf({ texts: "text" }, TRUNCATION);
export const RANK = fieldsOf({ questions: "question", candidates: "candidate" }, { ...RANKING, ...TRUNCATION });

/** Makes the schema of a query, or of a form's fields. */
export function formSchema({ form }: Fields) {
  return { type: "object", additionalProperties: false, properties: form } as const;
}

/** Makes the schema of a request. */
export function requestSchema(fields: Fields, summary: string, response: object) {
  const properties = { picture: JSON_PICTURE, ...fields.json };
  const json = { type: "object", required: ["picture"], additionalProperties: false, properties };
  return {
    summary,
    querystring: formSchema(fields),
    body: { content: { "application/json": { schema: json } } },
    response: { 200: response },
  };
}

/** Describes to OpenAPI the bodies that no JSON schema checks. */
export function otherBodies({ form }: Fields) {
  const picture = { type: "string", format: "binary" };
  const parts = { type: "object", required: ["picture"], properties: { picture, ...form } };
  return { "image/*": { schema: picture }, "multipart/form-data": { schema: parts } };
}

const SCORED = { score: { type: "number" } } as const;

function listOf(name: string, properties: object, required: readonly string[]) {
  const items = { type: "object", required, properties };
  return { type: "object", required: [name], properties: { [name]: { type: "array", items } } };
}

function alternatives(name: string) {
  const items = { type: "object", required: [name, "score"], properties: { [name]: { type: "string" }, ...SCORED } };
  return { alternatives: { type: "array", items } };
}

const TEXT = { type: "string" } as const;

export const ANSWERS = listOf("answers", { question: TEXT, answer: TEXT, ...SCORED, ...alternatives("answer") }, [
  "question",
  "answer",
  "score",
]);
export const CAPTIONED = {
  type: "object",
  required: ["caption", "score"],
  properties: { caption: TEXT, ...SCORED, ...alternatives("caption") },
};
export const MATCHES = listOf("matches", { text: TEXT, ...SCORED }, ["text", "score"]);
const RANKED = {
  type: "object",
  properties: { answer: TEXT, probability: { type: "number" }, logLikelihood: { type: ["number", "null"] } },
};
export const RANKINGS = listOf("rankings", { question: TEXT, candidates: { type: "array", items: RANKED } }, [
  "question",
  "candidates",
]);
