// OpenAI's endpoints: what they take, what they reply, and what they say of what is wrong, in its form.
import assert from "node:assert/strict";
import type { NeuronBlip } from "neuron-blip";
import { fixture } from "../../../test/helpers.js";
import type { BlipServer } from "../dist/index.js";
import { generationOf } from "../dist/protocols/openai-requests.js";
import { asked, eventsOf, loadModel, other, serverOf } from "./server-test.ts";

const dataUrl = ({ picture }: typeof asked) => `data:image/png;base64,${picture.toString("base64")}`;
const text = (text: string) => ({ type: "text", text });
const image = (url = dataUrl(asked)) => ({ type: "image_url", image_url: { url, detail: "auto" } });

describe("OpenAI's chat completions", () => {
  let blip: NeuronBlip;
  let server: BlipServer;
  before(async () => {
    blip = await loadModel();
    server = await serverOf(blip, { modelName: "Salesforce/blip" });
  });
  after(async () => {
    await server.app.close();
    await blip.dispose();
  });

  const asking = (...content: object[]) => [{ role: "user", content }];
  const chat = (fields: object = {}, { app } = server) =>
    app.inject({
      method: "POST",
      url: "/v1/chat/completions",
      payload: { model: "Salesforce/blip", messages: asking(text(asked.question), image()), ...fields },
    });
  const chunksOf = (body: string) => eventsOf(body).map(({ data }) => data);

  it("answer a question about a picture, with usage and why they ended", async () => {
    const reply = await chat();
    assert.equal(reply.statusCode, 200, reply.body);
    const { id, object, model, choices, usage } = reply.json();
    assert.match(id, /^chatcmpl-/);
    assert.deepEqual([object, model], ["chat.completion", "Salesforce/blip"]);
    const message = { role: "assistant", content: asked.answer, refusal: null };
    assert.deepEqual(choices, [{ index: 0, message, logprobs: null, finish_reason: "stop" }]);
    const { ids } = blip.processor.tokenizer.encode(asked.question);
    assert.equal(usage.prompt_tokens, ids.length);
    assert(usage.completion_tokens >= 1);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  });

  it("say where the answer was cut", async () => {
    const { choices, usage } = (await chat({ max_tokens: 1 })).json();
    assert.deepEqual([choices[0].finish_reason, usage.completion_tokens], ["length", 1]);
    const { choices: whole } = (await chat({ max_completion_tokens: 100_000 })).json();
    assert.equal(whole[0].finish_reason, "stop", "a bound that the model never comes to");
  });

  it("answer the last question of a conversation about one picture", async () => {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: [image(), text("what?")] },
      { role: "assistant", content: "that" },
      { role: "user", content: asked.question },
    ];
    assert.equal((await chat({ messages })).json().choices[0].message.content, asked.answer);
  });

  it("are streamed, with the usage where it is asked for", async () => {
    const reply = await chat({ stream: true, stream_options: { include_usage: true } });
    assert.equal(reply.statusCode, 200, reply.body);
    assert.match(String(reply.headers["content-type"]), /^text\/event-stream/);
    const chunks = chunksOf(reply.body);
    assert.equal(chunks.pop(), "[DONE]");
    const [first, ...others] = chunks as {
      object: string;
      choices: object[];
      usage: { total_tokens: number } | null;
    }[];
    assert.deepEqual(first?.choices, [
      { index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null },
    ]);
    const last = others.pop();
    assert.deepEqual(last?.choices, []);
    assert((last?.usage?.total_tokens ?? 0) > 0);
    const choices = others.map(({ choices }) => choices[0] as { delta: { content?: string }; finish_reason: string });
    assert.equal(choices.at(-1)?.finish_reason, "stop");
    assert.equal(choices.map(({ delta }) => delta.content ?? "").join(""), asked.answer);
    for (const { usage, object } of [first, ...others])
      assert.deepEqual([usage, object], [null, "chat.completion.chunk"]);
    assert.doesNotMatch((await chat({ stream: true })).body, /usage/);
  });

  it("let pass what asks for nothing, and what nobody knows", async () => {
    const fields = {
      n: 1,
      tools: [],
      tool_choice: "auto",
      logprobs: false,
      stop: null,
      user: "me",
      metadata: { a: "b" },
    };
    const reply = await chat({ ...fields, top_p: 1, stream: false, stream_options: null, nosuch: 1 });
    assert.equal(reply.statusCode, 200, reply.body);
  });

  it("ask the standing questions where there is no text, a line each", async () => {
    const standing = await serverOf(blip, {
      modelName: "Salesforce/blip",
      standingQuestions: [asked.question, asked.question],
    });
    const messages = asking(image());
    const both = `${asked.answer}\n${asked.answer}`;
    assert.equal((await chat({ messages }, standing)).json().choices[0].message.content, both);
    const chunks = chunksOf((await chat({ messages, stream: true }, standing)).body).slice(0, -1);
    const contents = (chunks as { choices: [{ delta: { content?: string } }] }[]).map(
      ({ choices }) => choices[0].delta,
    );
    assert.equal(contents.map(({ content = "" }) => content).join(""), both);
    await standing.app.close();
  });

  it("have errors in OpenAI's form, for all that may be wrong", async () => {
    const two = asking(image(), image(dataUrl(other)), text("a"));
    const audio = asking(image(), { type: "input_audio", input_audio: { data: "", format: "wav" } });
    const tool = { type: "function", function: { name: "f" } };
    const cases: [number, string, string | null, object][] = [
      [400, "INVALID_INPUT", "n", { n: 2 }],
      [400, "INVALID_INPUT", "tools", { tools: [tool] }],
      [400, "INVALID_INPUT", "tool_choice", { tool_choice: "required" }],
      [400, "INVALID_INPUT", "response_format", { response_format: { type: "json_object" } }],
      [400, "INVALID_INPUT", "stop", { stop: "\n" }],
      [400, "INVALID_INPUT", "logprobs", { logprobs: true }],
      [400, "INVALID_INPUT", "presence_penalty", { presence_penalty: 1 }],
      [400, "INVALID_INPUT", "messages", { messages: two }],
      [400, "INVALID_INPUT", "messages", { messages: audio }],
      [400, "INVALID_INPUT", "messages", { messages: asking(text("a")) }],
      [400, "INVALID_INPUT", null, { messages: asking(image()) }],
      [400, "INVALID_INPUT", "messages", { messages: [] }],
      [400, "INVALID_INPUT", "messages.0.role", { messages: [{ role: "tool", content: "a" }] }],
      [400, "INVALID_INPUT", "temperature", { temperature: 3 }],
      [400, "INVALID_INPUT", "max_tokens", { max_tokens: 0 }],
      [400, "INVALID_INPUT", null, { messages: asking(text("a"), image("file:///etc/passwd")) }],
      [403, "URL_NOT_ALLOWED", null, { messages: asking(text("a"), image("http://127.0.0.1/a.png")) }],
      [404, "NOT_FOUND", "model", { model: "gpt-4o" }],
      [422, "INVALID_IMAGE", null, { messages: asking(text("a"), image("data:image/png;base64,AAAA")) }],
      [422, "INVALID_IMAGE", null, { messages: asking(text("a"), image("data:image/png;base64,AAAA")), stream: true }],
      [422, "INPUT_TOO_LONG", null, { messages: asking(text("a".repeat(513)), image()) }],
    ];
    for (const [status, code, param, fields] of cases) {
      const reply = await chat(fields);
      const place = `${JSON.stringify(fields).slice(0, 100)}: ${reply.body.slice(0, 300)}`;
      assert.equal(reply.statusCode, status, place);
      const { message, ...error } = reply.json().error;
      const type = status === 403 ? "permission_error" : "invalid_request_error";
      assert.deepEqual(error, { type, param, code }, place);
      assert(typeof message === "string" && message !== "");
    }
  });

  it("have them in that form also where no handler is come to", async () => {
    const small = await serverOf(blip, { apiKeys: ["key"], limits: { maxBodyBytes: 1000 } });
    const authorization = "Bearer key";
    const json = { authorization, "content-type": "application/json" };
    const post = { method: "POST", url: "/v1/chat/completions" } as const;
    const cases: [number, string, string, object][] = [
      [401, "UNAUTHORIZED", "authentication_error", { ...post, payload: {} }],
      [401, "UNAUTHORIZED", "authentication_error", { url: "/v1/models" }],
      [404, "NOT_FOUND", "invalid_request_error", { url: "/v1/nosuch", headers: { authorization } }],
      [404, "NOT_FOUND", "invalid_request_error", { url: "/v1/models/%zz", headers: { authorization } }],
      [405, "METHOD_NOT_ALLOWED", "invalid_request_error", { url: post.url, headers: { authorization } }],
      [400, "INVALID_INPUT", "invalid_request_error", { ...post, headers: json, payload: "{" }],
      [400, "INVALID_INPUT", "invalid_request_error", { ...post, headers: { authorization }, payload: "text" }],
      [413, "BODY_TOO_LARGE", "invalid_request_error", { ...post, headers: json, payload: Buffer.alloc(2000) }],
    ];
    for (const [status, code, type, options] of cases) {
      const reply = await small.app.inject(options);
      assert.equal(reply.statusCode, status, reply.body);
      assert.equal(reply.json().error.code, code, reply.body);
      assert.equal(reply.json().error.type, type);
    }
    await small.app.close();
    const foreign = await server.app.inject({ url: "/v1/models", headers: { host: "evil.example" } });
    assert.equal(foreign.json().error.code, "FOREIGN_HOST");
    const hurried = await serverOf(blip, { modelName: "Salesforce/blip", limits: { requestTimeoutMs: 1 } });
    const late = await chat({}, hurried);
    assert.deepEqual([late.statusCode, late.json().error.type], [504, "server_error"]);
    await hurried.app.close();
  });

  it("have a last event in that form where a stream fails midway", async () => {
    const standing = await serverOf(blip, {
      modelName: "Salesforce/blip",
      standingQuestions: [asked.question, "what? ".repeat(80)],
    });
    const chunks = chunksOf((await chat({ messages: asking(image()), stream: true }, standing)).body);
    assert.equal((chunks.at(-1) as { error: { code: string } }).error.code, "INPUT_TOO_LONG");
    await standing.app.close();
  });

  it("name the model", async () => {
    const { object, data } = (await server.app.inject("/v1/models")).json();
    assert.deepEqual([object, data.length, data[0].id], ["list", 1, "Salesforce/blip"]);
    const one = await server.app.inject("/v1/models/Salesforce%2Fblip");
    assert.deepEqual(one.json(), data[0]);
    assert.equal((await server.app.inject("/v1/models/other")).statusCode, 404);
  });
});

describe("OpenAI's chat completions of other models", () => {
  it("describe a picture, from the text on or from nothing", async () => {
    await using blip = await loadModel({}, fixture("parity/captions-checkpoint/model"));
    const { app } = await serverOf(blip);
    for (const [content, begins] of [
      [[text("a picture of"), image()], "a picture of"],
      [[image()], ""],
    ] as const) {
      for (const max_tokens of [undefined, 100_000]) {
        const payload = { model: "blip", messages: [{ role: "user", content }], max_tokens };
        const reply = await app.inject({ method: "POST", url: "/v1/chat/completions", payload });
        assert.equal(reply.statusCode, 200, reply.body);
        const { choices, usage } = reply.json();
        assert(choices[0].message.content.startsWith(begins), reply.body);
        assert.equal(usage.prompt_tokens > 0, begins !== "");
      }
    }
    await app.close();
  });

  it("are not of models that write no texts", async () => {
    await using blip = await loadModel({}, fixture("parity/retrieval-checkpoint/model"));
    const { app } = await serverOf(blip);
    assert.equal((await app.inject({ method: "POST", url: "/v1/chat/completions", payload: {} })).statusCode, 404);
    assert.equal((await app.inject("/v1/models")).statusCode, 200);
    await app.close();
  });
});

describe("OpenAI's options", () => {
  const options = (fields: object) => generationOf({ model: "", messages: [], ...fields }, 20);

  it("sample where a temperature or top_p asks for it, and else leave it to the model", () => {
    assert.deepEqual(options({ top_p: 1, seed: 1 }), {});
    assert.deepEqual(options({ temperature: 0, top_p: 0.5, seed: 1 }), { doSample: false });
    assert.deepEqual(options({ temperature: 1e-300 }), { doSample: false }, "which logits cannot be divided by");
    assert.deepEqual(options({ temperature: 0.5, seed: 1 }), {
      doSample: true,
      temperature: 0.5,
      seed: 1,
      numBeams: 1,
    });
    assert.deepEqual(options({ top_p: 0.5 }), { doSample: true, topP: 0.5, numBeams: 1 });
  });

  it("bound the tokens, at most by what there is room for", () => {
    assert.deepEqual(options({ max_tokens: 5 }), { maxNewTokens: 5 });
    assert.deepEqual(options({ max_tokens: 5, max_completion_tokens: 50 }), { maxNewTokens: 20 });
    assert.deepEqual(options({ stream: true, max_tokens: null }), { numBeams: 1 });
  });
});
