/** The schemas of SageMaker's endpoints. */
import { ANSWER_PARAMETERS, CAPTION_PARAMETERS } from "./hugging-face-options.js";

const TEXT = { type: "string" };
const PICTURE = { type: "string", minLength: 1, description: "base64, a data: URL, or the URL of an allowed host" };

/** What OpenAPI is told of bodies that are the picture itself. */
export const PICTURE_BODY = { "image/*": { schema: { type: "string", format: "binary" } } };

export const PING = { summary: "Whether requests may come, as SageMaker asks" };

function invocations(summary: string, inputs: object, parameters: object, reply: object) {
  const properties = { inputs, parameters: { type: "object", additionalProperties: false, properties: parameters } };
  const schema = { type: "object", required: ["inputs"], properties };
  return {
    summary,
    body: { content: { "application/json": { schema } } },
    response: { 200: { type: "array", items: { type: "object", properties: reply } } },
  };
}

const ASKED = { type: "object", required: ["image"], properties: { image: PICTURE, question: TEXT } };

export const ANSWERS = invocations(
  "Answers a question about a picture, as SageMaker and Hugging Face ask",
  ASKED,
  ANSWER_PARAMETERS,
  { question: TEXT, answer: TEXT, score: { type: "number" } },
);
export const CAPTIONS = invocations(
  "Describes a picture, as SageMaker and Hugging Face ask",
  PICTURE,
  CAPTION_PARAMETERS,
  { generated_text: TEXT },
);
