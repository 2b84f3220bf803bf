// The clients that people have, as npm gives them, with a server that runs as users run it.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { InferenceClient } from "@huggingface/inference";
import { generateText, streamText } from "ai";
import OpenAI from "openai";
import { picture, QUESTIONS } from "./helpers/pictures.js";
import { ServerProcess } from "./helpers/server-process.js";

/** The demo's directory is called so. */
const MODEL = "model";
const [question = ""] = QUESTIONS;
const dataUrl = `data:image/png;base64,${picture.toString("base64")}`;

describe("real clients", () => {
  let server: ServerProcess;
  let answer: string;
  before(async () => {
    server = await ServerProcess.start();
    const path = `/answer?${new URLSearchParams({ question })}`;
    const reply = await fetch(`${server.url}${path}`, { method: "POST", body: picture });
    const { answers } = (await reply.json()) as { answers: { answer: string }[] };
    answer = answers[0]?.answer ?? "";
    assert.notEqual(answer, "");
  });
  after(() => server?.[Symbol.asyncDispose]());

  describe("openai", () => {
    let client: OpenAI;
    before(() => {
      client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
    });
    const asked = {
      model: MODEL,
      messages: [
        {
          role: "user" as const,
          content: [
            { type: "text" as const, text: question },
            { type: "image_url" as const, image_url: { url: dataUrl } },
          ],
        },
      ],
    };

    it("reads an answer, its usage and why it ended", async () => {
      const { choices, usage } = await client.chat.completions.create(asked);
      assert.deepEqual([choices[0]?.message.content, choices[0]?.finish_reason], [answer, "stop"]);
      assert((usage?.total_tokens ?? 0) > 0);
    });

    it("reads a stream", async () => {
      const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
      const { choices, usage } = await stream.finalChatCompletion();
      assert.deepEqual([choices[0]?.message.content, choices[0]?.finish_reason], [answer, "stop"]);
      assert((usage?.total_tokens ?? 0) > 0);
    });

    it("lists the model", async () => {
      const { data } = await client.models.list();
      assert.deepEqual(
        data.map(({ id }) => id),
        [MODEL],
      );
      assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
    });

    it("knows what is wrong", async () => {
      await assert.rejects(client.chat.completions.create({ ...asked, n: 2 }), (error) => {
        assert(error instanceof OpenAI.BadRequestError);
        assert.deepEqual([error.param, error.type, error.code], ["n", "invalid_request_error", "INVALID_INPUT"]);
        return true;
      });
      await assert.rejects(client.models.retrieve("nosuch"), OpenAI.NotFoundError);
    });
  });

  describe("ai", () => {
    const asked = () => ({
      model: createOpenAICompatible({ name: "blip", baseURL: `${server.url}/v1`, includeUsage: true })(MODEL),
      maxRetries: 0,
      messages: [
        {
          role: "user" as const,
          content: [
            { type: "text" as const, text: question },
            { type: "image" as const, image: new Uint8Array(picture), mediaType: "image/png" },
          ],
        },
      ],
    });

    it("reads an answer", async () => {
      const { text, finishReason, usage } = await generateText(asked());
      assert.deepEqual([text, finishReason], [answer, "stop"]);
      assert((usage.totalTokens ?? 0) > 0);
    });

    it("reads a stream", async () => {
      const { textStream, finishReason, usage } = streamText(asked());
      const pieces: string[] = [];
      for await (const piece of textStream) pieces.push(piece);
      assert.deepEqual([pieces.join(""), await finishReason], [answer, "stop"]);
      assert(((await usage).totalTokens ?? 0) > 0);
    });
  });

  describe("@huggingface/inference", () => {
    it("reads an answer with its score", async () => {
      const client = new InferenceClient().endpoint(`${server.url}/invocations`);
      const inputs = { image: new Blob([new Uint8Array(picture)]), question };
      const best = await client.visualQuestionAnswering({ inputs });
      assert.equal(best.answer, answer);
      assert(best.score > 0 && best.score <= 1);
    });

    it("chats", async () => {
      const client = new InferenceClient().endpoint(`${server.url}/v1`);
      const content = [
        { type: "text" as const, text: question },
        { type: "image_url" as const, image_url: { url: dataUrl } },
      ];
      const { choices } = await client.chatCompletion({ model: MODEL, messages: [{ role: "user", content }] });
      assert.equal(choices[0]?.message.content, answer);
    });
  });

  it("of the Open Inference Protocol read JSON and bytes", async () => {
    const url = `${server.url}/v2/models/${MODEL}/infer`;
    const tensor = (name: string, rest: object) => ({ name, shape: [1], datatype: "BYTES", ...rest });
    const inputs = [tensor("image", { data: [picture.toString("base64")] }), tensor("question", { data: [question] })];
    const reply = await fetch(url, { method: "POST", body: JSON.stringify({ inputs }) });
    const { outputs } = (await reply.json()) as { outputs: { data: unknown[] }[] };
    assert.deepEqual(outputs[0]?.data, [answer]);

    const packed = [picture, Buffer.from(question)].map((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.length);
      return Buffer.concat([length, element]);
    });
    const sizes = packed.map(({ length }) => ({ parameters: { binary_data_size: length } }));
    const json = Buffer.from(
      JSON.stringify({
        inputs: [tensor("image", sizes[0] ?? {}), tensor("question", sizes[1] ?? {})],
        outputs: [{ name: "answer", parameters: { binary_data: true } }],
      }),
    );
    const headers = { "inference-header-content-length": String(json.length) };
    const binary = await fetch(url, { method: "POST", headers, body: Buffer.concat([json, ...packed]) });
    assert.equal(binary.status, 200);
    const bytes = Buffer.from(await binary.arrayBuffer());
    const end = Number(binary.headers.get("inference-header-content-length"));
    assert.equal(bytes.toString("utf8", end + 4), answer);
    assert.equal(bytes.readUInt32LE(end), bytes.length - end - 4);
  });
});
