/** The schemas of OpenAI's endpoints. Fields that nobody here knows are let pass, as clients send more and more of them. */
import { GENERATION_OPTIONS } from "./generation-options.js";

const nullable = <Schema extends { readonly type: string }>(schema: Schema) => ({
  ...schema,
  type: [schema.type, "null"],
});

const PART = {
  type: "object",
  required: ["type"],
  properties: {
    type: { type: "string", description: "text or image_url" },
    text: { type: "string" },
    image_url: {
      type: "object",
      required: ["url"],
      properties: { url: { type: "string", description: "a data: URL in base64, or the URL of an allowed host" } },
    },
  },
};

const MESSAGE = {
  type: "object",
  required: ["role"],
  properties: {
    role: { type: "string", enum: ["system", "developer", "user", "assistant"] },
    content: { type: ["string", "array", "null"], items: PART },
  },
};

const MAX_TOKENS = nullable({ type: "integer", minimum: 1 });

const REQUEST = {
  type: "object",
  required: ["model", "messages"],
  properties: {
    model: { type: "string" },
    messages: {
      type: "array",
      minItems: 1,
      items: MESSAGE,
      description: "one picture in all; what is asked is the text of the last user message",
    },
    max_completion_tokens: MAX_TOKENS,
    max_tokens: MAX_TOKENS,
    temperature: nullable({ type: "number", minimum: 0, maximum: 2 }),
    top_p: nullable(GENERATION_OPTIONS.topP),
    seed: nullable(GENERATION_OPTIONS.seed),
    stream: nullable({ type: "boolean" }),
    stream_options: { ...nullable({ type: "object" }), properties: { include_usage: nullable({ type: "boolean" }) } },
  },
};

const TEXT = { type: "string" };
const COUNT = { type: "integer" };

const COMPLETION = {
  type: "object",
  properties: {
    id: TEXT,
    object: TEXT,
    created: COUNT,
    model: TEXT,
    choices: {
      type: "array",
      items: {
        type: "object",
        properties: {
          index: COUNT,
          message: {
            type: "object",
            properties: { role: TEXT, content: TEXT, refusal: { type: "null" } },
          },
          logprobs: { type: "null" },
          finish_reason: { type: "string", enum: ["stop", "length"] },
        },
      },
    },
    usage: { type: "object", properties: { prompt_tokens: COUNT, completion_tokens: COUNT, total_tokens: COUNT } },
  },
};

const MODEL = { type: "object", properties: { id: TEXT, object: TEXT, created: COUNT, owned_by: TEXT } };

export const CHAT_COMPLETIONS = {
  summary: "Asks about a picture, as OpenAI's chat completions",
  body: REQUEST,
  response: { 200: COMPLETION },
};
export const MODELS = {
  summary: "The model, as OpenAI lists models",
  response: { 200: { type: "object", properties: { object: TEXT, data: { type: "array", items: MODEL } } } },
};
export const ONE_MODEL = { summary: "The model, as OpenAI has one", response: { 200: MODEL } };
