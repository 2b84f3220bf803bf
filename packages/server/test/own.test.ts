// Our own endpoints: what they take, what they reply, and what they say of what is wrong.
import assert from "node:assert/strict";
import type { NeuronBlip } from "neuron-blip";
import { fixture } from "../../../test/helpers.js";
import type { BlipServer } from "../dist/index.js";
import { asked, eventsOf, formOf, loadModel, other, serverOf } from "./server-test.ts";

const CUT_FORM = '--b\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\nabc';
const png = { "content-type": "image/png" };

describe("a server of a model that answers questions", () => {
  let blip: NeuronBlip;
  let server: BlipServer;
  before(async () => {
    blip = await loadModel();
    server = await serverOf(blip);
  });
  after(async () => {
    await server.app.close();
    await blip.dispose();
  });

  const post = (url: string, options: object) => server.app.inject({ method: "POST", url, ...options });
  const asking = (...questions: string[]) =>
    `/answer?${new URLSearchParams(questions.map((one): [string, string] => ["question", one]))}`;

  it("answers questions about a picture that is the body, in order", async () => {
    const reply = await post(asking(asked.question, other.question), { payload: asked.picture, headers: png });
    assert.equal(reply.statusCode, 200, reply.body);
    const { answers } = reply.json();
    assert.deepEqual(
      answers.map(({ question }: { question: string }) => question),
      [asked.question, other.question],
    );
    const [{ answer, score }] = answers;
    assert.equal(answer, asked.answer);
    assert(score > 0 && score <= 1);
    assert.deepEqual(Object.keys(answers[0]), ["question", "answer", "score"]);
  });

  it("takes a picture without a content type, and of any", async () => {
    for (const headers of [{}, { "content-type": "application/octet-stream" }, { "content-type": "x/y; z=1" }]) {
      const reply = await post(asking(asked.question), { payload: asked.picture, headers });
      assert.equal(reply.statusCode, 200, reply.body);
    }
  });

  it("takes a form, whose options are numbers in text", async () => {
    const form = await formOf([
      ["question", asked.question],
      ["picture", asked.picture],
      ["question", other.question],
      ["numBeams", "2"],
      ["numReturnSequences", "2"],
    ]);
    const reply = await post("/answer", form);
    assert.equal(reply.statusCode, 200, reply.body);
    const [first, second] = reply.json().answers;
    assert.equal(first.answer, asked.answer);
    assert.equal(first.alternatives.length, 1);
    assert.equal(second.question, other.question);
  });

  it("takes JSON, whose picture is base64, a data: URL, or says which", async () => {
    const base64 = asked.picture.toString("base64");
    const url = `data:image/png;base64,${base64}`;
    for (const picture of [base64, url, { base64 }, { url }]) {
      const payload = { picture, questions: [asked.question], maxNewTokens: 5 };
      const reply = await post("/answer", { payload });
      assert.equal(reply.statusCode, 200, reply.body);
      assert.equal(reply.json().answers[0].answer, asked.answer);
    }
  });

  it("streams answers piece by piece, which together are the answers", async () => {
    const headers = { ...png, accept: "text/event-stream" };
    const reply = await post(asking(asked.question, other.question), { payload: asked.picture, headers });
    assert.equal(reply.statusCode, 200, reply.body);
    assert.match(String(reply.headers["content-type"]), /^text\/event-stream/);
    const events = eventsOf(reply.body);
    assert.deepEqual([...new Set(events.map(({ event }) => event))].sort(), ["answer", "end", "piece"]);
    const pieces = events
      .filter(({ event }) => event === "piece")
      .map(({ data }) => data as { index: number; text: string });
    const answers = events.filter(({ event }) => event === "answer").map(({ data }) => data as { answer: string });
    for (const [index, { answer }] of answers.entries()) {
      const text = pieces.filter((piece) => piece.index === index).map((piece) => piece.text);
      assert.equal(text.join(""), answer);
    }
    assert.equal(answers[0]?.answer, asked.answer);
    assert.equal(events.at(-1)?.event, "end");
  });

  it("says what is wrong before a stream begins as any error", async () => {
    const headers = { accept: "text/event-stream" };
    const reply = await post(asking(asked.question), { payload: Buffer.from("no picture"), headers });
    assert.equal(reply.statusCode, 422);
    assert.equal(reply.json().code, "INVALID_IMAGE");
  });

  it("says what fails in the midst of a stream as its last event, and counts it as what it is", async () => {
    const headers = { ...png, accept: "text/event-stream" };
    const { app } = await serverOf(blip);
    const url = asking(asked.question, "what? ".repeat(80));
    const reply = await app.inject({ method: "POST", url, payload: asked.picture, headers });
    assert.equal(reply.statusCode, 200);
    const { event, data } = eventsOf(reply.body).at(-1) ?? {};
    assert.equal(event, "error");
    assert.equal((data as { code: string }).code, "INPUT_TOO_LONG");
    const metrics = await app.inject("/metrics");
    assert.match(metrics.body, /requests_total\{api="own",task="answer",outcome="invalid"\} 1\n/);
    assert.doesNotMatch(metrics.body, /outcome="ok"/);
    await app.close();
  });

  it("says which methods a path takes where it comes with another", async () => {
    for (const [method, url, allowed] of [
      ["GET", "/answer?question=a", "POST"],
      ["PUT", "/readyz", "GET, HEAD"],
    ] as const) {
      const reply = await server.app.inject({ method, url });
      assert.equal(reply.statusCode, 405, reply.body);
      assert.equal(reply.headers.allow, allowed);
      assert.equal(reply.json().code, "METHOD_NOT_ALLOWED");
    }
  });

  it("ranks candidates, the best first", async () => {
    const payload = {
      picture: asked.picture.toString("base64"),
      questions: [asked.question],
      candidates: ["purple", asked.answer, "yes"],
    };
    const reply = await post("/rank", { payload });
    assert.equal(reply.statusCode, 200, reply.body);
    const [{ candidates }] = reply.json().rankings;
    assert.equal(candidates[0].answer, asked.answer);
    assert.equal(candidates.length, 3);
  });

  it("has problems by RFC 9457, with a code, for all that may be wrong with a request", async () => {
    const base64 = asked.picture.toString("base64");
    const questions = [asked.question];
    const cases: [number, string, string, object][] = [
      [422, "INVALID_IMAGE", asking("what?"), { payload: Buffer.from("no picture"), headers: png }],
      [400, "INVALID_INPUT", "/answer", { payload: asked.picture, headers: png }],
      [400, "INVALID_INPUT", asking("what?"), {}],
      [400, "INVALID_INPUT", "/answer?question=a&nosuch=1", { payload: asked.picture, headers: png }],
      [400, "INVALID_INPUT", "/answer?question=a&numBeams=many", { payload: asked.picture, headers: png }],
      [
        400,
        "INVALID_INPUT",
        asking(...Array.from({ length: 33 }, () => "what?")),
        { payload: asked.picture, headers: png },
      ],
      [422, "INPUT_TOO_LONG", asking("what? ".repeat(100)), { payload: asked.picture, headers: png }],
      [400, "INVALID_INPUT", "/answer", { payload: { questions } }],
      [400, "INVALID_INPUT", "/answer", { payload: { picture: base64, questions, nosuch: 1 } }],
      [422, "INVALID_IMAGE", "/answer", { payload: { picture: "/etc/passwd", questions } }],
      [400, "INVALID_INPUT", "/answer", { payload: { picture: "file:///etc/passwd", questions } }],
      [400, "INVALID_INPUT", "/answer", { payload: { picture: { url: "file:///etc/passwd" }, questions } }],
      [403, "URL_NOT_ALLOWED", "/answer", { payload: { picture: "http://127.0.0.1/a.png", questions } }],
      [403, "URL_NOT_ALLOWED", "/answer", { payload: { picture: { url: "https://example.com/a.png" }, questions } }],
      [400, "INVALID_INPUT", "/answer", { payload: "{", headers: { "content-type": "application/json" } }],
      [400, "INVALID_INPUT", "/answer", { payload: "null", headers: { "content-type": "application/json" } }],
      [
        400,
        "INVALID_INPUT",
        "/answer",
        { payload: '{"__proto__":{}}', headers: { "content-type": "application/json" } },
      ],
      [400, "INVALID_INPUT", "/rank", { payload: { picture: base64, questions } }],
      [400, "INVALID_INPUT", "/answer", await formOf([["question", "what?"]])],
      [400, "INVALID_INPUT", "/answer", await formOf([["image", asked.picture]])],
      [
        400,
        "INVALID_INPUT",
        "/answer",
        await formOf([
          ["picture", asked.picture],
          ["question", "a"],
          ["numBeams", "x"],
        ]),
      ],
      [400, "INVALID_INPUT", "/answer", { payload: "x", headers: { "content-type": "multipart/form-data" } }],
      [
        400,
        "INVALID_INPUT",
        "/answer",
        { payload: "x", headers: { "content-type": "multipart/form-data; boundary=b" } },
      ],
      [
        400,
        "INVALID_INPUT",
        "/answer",
        { payload: CUT_FORM, headers: { "content-type": "multipart/form-data; boundary=b" } },
      ],
      [
        400,
        "INVALID_INPUT",
        "/answer?question=a",
        await formOf([
          ["picture", asked.picture],
          ["picture", other.picture],
        ]),
      ],
      [
        400,
        "INVALID_INPUT",
        "/answer",
        await formOf([["picture", asked.picture], ...Array.from({ length: 100 }, () => ["question", "a"] as const)]),
      ],
      ...[
        { doSample: true, temperature: 1e-300 },
        { repetitionPenalty: 1e-308 },
        { numBeams: 2, lengthPenalty: -1e308 },
      ].map(
        (options) =>
          [400, "INVALID_INPUT", "/answer", { payload: { picture: base64, questions, ...options } }] as [
            number,
            string,
            string,
            object,
          ],
      ),
      [413, "BODY_TOO_LARGE", "/answer?question=a", { payload: Buffer.alloc(11 * 2 ** 20), headers: png }],
      [404, "NOT_FOUND", "/caption", { payload: asked.picture, headers: png }],
      [404, "NOT_FOUND", "/nosuch", {}],
    ];
    for (const [status, code, url, options] of cases) {
      const reply = await post(url, options);
      const place = `${url.slice(0, 60)}: ${reply.body.slice(0, 300)}`;
      assert.equal(reply.statusCode, status, place);
      assert.match(String(reply.headers["content-type"]), /^application\/problem\+json/, place);
      const problem = reply.json();
      assert.equal(problem.code, code, place);
      assert.equal(problem.status, status);
      assert(typeof problem.detail === "string" && problem.detail !== "", place);
    }
  });

  it("takes JSON by no other name, which no schema would check", async () => {
    for (const type of ["application/ld+json", "application/problem+json"]) {
      const reply = await post("/answer?question=a", { payload: '{"picture":5}', headers: { "content-type": type } });
      assert.deepEqual([reply.statusCode, reply.json().code], [422, "INVALID_IMAGE"], "bytes, as of any type");
    }
    const typed = { "content-type": "Application/JSON; charset=utf-8" };
    const reply = await post("/answer", { payload: '{"picture":"","questions":["a"]}', headers: typed });
    assert.equal(reply.json().code, "INVALID_INPUT");
  });

  it("describes itself by OpenAPI, from the schemas that check the requests", async () => {
    const reply = await server.app.inject("/openapi.json");
    const { openapi, paths } = reply.json();
    assert.match(openapi, /^3\.1/);
    assert.deepEqual(Object.keys(paths["/answer"].post.requestBody.content).sort(), [
      "application/json",
      "image/*",
      "multipart/form-data",
    ]);
    assert("/rank" in paths && "/readyz" in paths);
    for (const path of ["/v1/chat/completions", "/v2/models/{name}/versions/{version}/infer", "/invocations"]) {
      const { requestBody, responses } = paths[path].post;
      assert("application/json" in requestBody.content && responses["200"], path);
    }
    assert(!("/caption" in paths), "which this model cannot do");
  });
});

describe("a server with standing questions", () => {
  it("asks them of a picture that comes without one", async () => {
    await using blip = await loadModel();
    const { app } = await serverOf(blip, { standingQuestions: [asked.question] });
    const reply = await app.inject({ method: "POST", url: "/answer", payload: asked.picture, headers: png });
    assert.equal(reply.json().answers[0].answer, asked.answer);
    await app.close();
  });
});

describe("servers of other models", () => {
  it("caption, with a prompt, streamed too", async () => {
    await using blip = await loadModel({}, fixture("parity/captions-checkpoint/model"));
    const { app } = await serverOf(blip);
    const request = { method: "POST", url: "/caption?prompt=a+picture+of", payload: asked.picture } as const;
    const reply = await app.inject({ ...request, headers: png });
    assert.equal(reply.statusCode, 200, reply.body);
    const { caption, score } = reply.json();
    assert(caption.startsWith("a picture of") && score > 0);
    const streamed = await app.inject({ ...request, headers: { ...png, accept: "text/event-stream" } });
    const events = eventsOf(streamed.body);
    const pieces = events.filter(({ event }) => event === "piece").map(({ data }) => (data as { text: string }).text);
    assert.equal(pieces.join(""), caption);
    await app.close();
  });

  it("match texts", async () => {
    await using blip = await loadModel({}, fixture("parity/retrieval-checkpoint/model"));
    const { app } = await serverOf(blip);
    const payload = { picture: asked.picture.toString("base64"), texts: ["a dog", "a cat"] };
    const reply = await app.inject({ method: "POST", url: "/match", payload });
    assert.equal(reply.statusCode, 200, reply.body);
    const { matches } = reply.json();
    assert.deepEqual(
      matches.map(({ text }: { text: string }) => text),
      payload.texts,
    );
    await app.close();
  });
});
