/** OpenAI's endpoints under /v1: chat completions about one picture, and the model's name. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ServerContext } from "../context.js";
import { replyToErrors } from "../errors.js";
import { Problem } from "../problem.js";
import { replyWithEvents, type ServerSentEvent } from "../sse.js";
import type { GenerationFields } from "./generation-options.js";
import { type ChatRequest, checkSupported, generationOf, readMessages } from "./openai-requests.js";
import * as schemas from "./openai-schemas.js";
import { type Writer, type Written, writerOf } from "./writers.js";

export async function openAiEndpoints(app: FastifyInstance, { context }: { context: ServerContext }): Promise<void> {
  replyToErrors(app, (problem, reply) => reply.send(errorOf(problem)));
  modelEndpoints(app, context);
  const writer = writerOf(context);
  if (writer !== undefined) chatEndpoint(app, context, writer);
}

function modelEndpoints(app: FastifyInstance, { modelName }: ServerContext): void {
  const model = { id: modelName, object: "model", created: seconds(), owned_by: "neuron-blip" };
  app.get("/models", { schema: schemas.MODELS }, async () => ({ object: "list", data: [model] }));
  app.get<{ Params: { name: string } }>("/models/:name", { schema: schemas.ONE_MODEL }, async ({ params }) => {
    checkModel(params.name, modelName);
    return model;
  });
}

function chatEndpoint(app: FastifyInstance, context: ServerContext, writer: Writer): void {
  const config = { work: { api: "openai", task: writer.task } };
  const schema = schemas.CHAT_COMPLETIONS;
  app.post<{ Body: ChatRequest }>("/chat/completions", { schema, config }, async (request, reply) => {
    const { body } = request;
    checkModel(body.model, context.modelName);
    checkSupported(body);
    const { url, text } = readMessages(body.messages);
    const asked = writer.aboutWhat(text);
    const picture = await context.pictures.fromUrl(url, request);
    const chat = new Chat(context, request, asked);
    const options = generationOf(body, chat.mostTokens);
    if (!body.stream) {
      const pictures = asked.map(() => picture);
      return chat.completion(await writer.write(request, pictures, asked, options));
    }
    const chunks = chat.chunks(writer, picture, options, body.stream_options?.include_usage ?? false);
    return replyWithEvents(request, reply, chunks, (problem) => ({ data: errorOf(problem) }));
  });
}

/** One reply: its name, and what it says of tokens. */
class Chat {
  readonly #request: FastifyRequest;
  readonly #asked: readonly string[];
  readonly #head: { readonly id: string; readonly created: number; readonly model: string };
  readonly #sepTokenId: number;
  readonly #promptTokens: number;
  /** How many tokens there is room for. */
  readonly mostTokens: number;

  constructor({ blip, modelName }: ServerContext, request: FastifyRequest, asked: readonly string[]) {
    const { tokenizer } = blip.processor;
    this.#request = request;
    this.#asked = asked;
    this.#head = { id: `chatcmpl-${request.id}`, created: seconds(), model: modelName };
    this.#sepTokenId = tokenizer.sepTokenId;
    this.#promptTokens = asked.reduce((sum, text) => sum + (text === "" ? 0 : tokenizer.encode(text).ids.length), 0);
    // A caption begins with its prompt's tokens, but [CLS] and [SEP]; an answer does not begin with its question.
    const taken = blip.architecture === "BlipForConditionalGeneration" ? Math.max(0, this.#promptTokens - 2) : 0;
    this.mostTokens = (blip.answerLength ?? 0) - taken;
  }

  completion(texts: readonly Written[]) {
    const content = texts.map(({ text }) => text).join("\n");
    const message = { role: "assistant", content, refusal: null };
    const choice = { index: 0, message, logprobs: null, finish_reason: this.#finishOf(texts) };
    return { ...this.#head, object: "chat.completion", choices: [choice], usage: this.#usageOf(texts) };
  }

  async *chunks(
    writer: Writer,
    picture: Uint8Array,
    options: GenerationFields,
    withUsage: boolean,
  ): AsyncGenerator<ServerSentEvent, void, void> {
    const head = { ...this.#head, object: "chat.completion.chunk" };
    const chunk = (delta: object, finish_reason: string | null = null): ServerSentEvent => {
      const choices = [{ index: 0, delta, logprobs: null, finish_reason }];
      return { data: { ...head, choices, ...(withUsage && { usage: null }) } };
    };
    const texts: Written[] = [];
    let before = "";
    let isFirst = true;
    for (const text of this.#asked) {
      for await (const next of writer.stream(this.#request, picture, text, options)) {
        // After the model has begun: what is wrong before is an error rather than a stream.
        if (isFirst) yield chunk({ role: "assistant", content: "" });
        isFirst = false;
        if ("piece" in next) yield chunk({ content: before + next.piece });
        else texts.push(next.result);
        before = "";
      }
      before = "\n";
    }
    yield chunk({}, this.#finishOf(texts));
    if (withUsage) yield { data: { ...head, choices: [], usage: this.#usageOf(texts) } };
    yield { data: "[DONE]" };
  }

  /** Gives the finish reason: "stop" where each text came to its end. */
  #finishOf(texts: readonly Written[]): "stop" | "length" {
    return texts.every(({ tokenIds }) => tokenIds.at(-1) === this.#sepTokenId) ? "stop" : "length";
  }

  #usageOf(texts: readonly Written[]) {
    const prompt_tokens = this.#promptTokens;
    const completion_tokens = texts.reduce((sum, { tokenLogProbabilities }) => sum + tokenLogProbabilities.length, 0);
    return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  }
}

function checkModel(asked: string, name: string): void {
  if (asked === name) return;
  throw new Problem("NOT_FOUND", `There is no model "${asked.slice(0, 100)}" here, but "${name}".`, { field: "model" });
}

const TYPES: Readonly<Record<number, string>> = { 401: "authentication_error", 403: "permission_error" };

function errorOf({ message, status, code, field }: Problem) {
  const type = TYPES[status] ?? (status >= 500 ? "server_error" : "invalid_request_error");
  return { error: { message, type, param: field ?? null, code } };
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}
