import { isDeepStrictEqual } from "node:util";
import { Problem } from "../problem.js";
import { type GenerationFields, LEAST_TEMPERATURE } from "./generation-options.js";

/** A body of /v1/chat/completions, which its schema has checked. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly max_completion_tokens?: number | null;
  readonly max_tokens?: number | null;
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly seed?: number | null;
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean | null } | null;
}

interface Message {
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly content?: string | readonly Part[] | null;
}

interface Part {
  readonly type: string;
  readonly text?: string;
  readonly image_url?: { readonly url: string };
}

/** Fields that ask for what BLIP cannot do, with the values that ask for nothing; so does null, of each. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  tools: [[]],
  tool_choice: ["auto", "none"],
  functions: [[]],
  function_call: ["auto", "none"],
  response_format: [{ type: "text" }],
  stop: [[]],
  logprobs: [false],
  top_logprobs: [0],
  logit_bias: [{}],
  presence_penalty: [0],
  frequency_penalty: [0],
  modalities: [["text"]],
  audio: [],
  prediction: [],
  web_search_options: [],
};

/** Refuses what this model does not support. @throws Problem `INVALID_INPUT` */
export function checkSupported(body: object): void {
  for (const [field, value] of Object.entries(body)) {
    const harmless = Object.hasOwn(UNSUPPORTED, field) ? UNSUPPORTED[field] : undefined;
    if (harmless === undefined || [null, ...harmless].some((one) => isDeepStrictEqual(value, one))) continue;
    throw new Problem("INVALID_INPUT", `This model does not support ${field} with this value.`, { field });
  }
}

/** Reads what a chat is about: its one picture's URL, and the text of its last user message. @throws Problem `INVALID_INPUT` */
export function readMessages(messages: readonly Message[]): { url: string; text: string | undefined } {
  const field = "messages";
  const urls = messages.flatMap(partsOf).flatMap(({ type, image_url }) => {
    if (type === "image_url" && image_url !== undefined) return [image_url.url];
    if (type === "text") return [];
    throw new Problem("INVALID_INPUT", `Messages have text and image_url, not ${type.slice(0, 50)}.`, { field });
  });
  const [url, ...others] = urls;
  if (url === undefined) {
    throw new Problem("INVALID_INPUT", "The messages have no picture: give one as image_url.", { field });
  }
  if (others.length > 0) {
    throw new Problem("INVALID_INPUT", `The messages have ${urls.length} pictures; one is taken.`, { field });
  }
  const last = messages.filter(({ role }) => role === "user").at(-1);
  const texts = last ? partsOf(last).flatMap(({ text = "" }) => text.trim() || []) : [];
  return { url, text: texts.length > 0 ? texts.join("\n") : undefined };
}

function partsOf({ content }: Message): readonly Part[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : (content ?? []);
}

/**
 * Converts OpenAI's fields to generation options.
 * @param mostTokens that there is room for: more may be asked for, as they are a bound.
 */
export function generationOf(
  { max_completion_tokens, max_tokens, temperature, top_p, seed, stream }: ChatRequest,
  mostTokens: number,
): GenerationFields {
  const most = max_completion_tokens ?? max_tokens;
  // Where neither says so, the model does as it does.
  const samples = typeof temperature === "number" ? temperature >= LEAST_TEMPERATURE : (top_p ?? 1) < 1 || undefined;
  return {
    ...(typeof most === "number" && { maxNewTokens: Math.max(1, Math.min(most, mostTokens)) }),
    ...(samples !== undefined && { doSample: samples }),
    ...(samples && typeof temperature === "number" && { temperature }),
    ...(samples && typeof top_p === "number" && { topP: top_p }),
    ...(samples && typeof seed === "number" && { seed }),
    // Beams neither sample nor grow piece by piece.
    ...((samples || stream) && { numBeams: 1 }),
  };
}
