// SageMaker's endpoints, and what Hugging Face's clients send to them.
import assert from "node:assert/strict";
import type { NeuronBlip } from "neuron-blip";
import { fixture } from "../../../test/helpers.js";
import { asked, loadModel, serverOf } from "./server-test.ts";

const png = { "content-type": "image/png" };
const image = asked.picture.toString("base64");
const { question } = asked;

describe("SageMaker's endpoints", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await loadModel();
  });
  after(() => blip.dispose());

  const invoking = (options: object) => ({ method: "POST", url: "/invocations", ...options }) as const;

  it("say by /ping whether requests may come, without a key", async () => {
    const { app, context } = await serverOf(blip, { apiKeys: ["key"] });
    assert.equal((await app.inject("/ping")).statusCode, 200);
    assert.equal((await app.inject(invoking({ payload: {} }))).statusCode, 401);
    context.state.drain();
    assert.equal((await app.inject("/ping")).statusCode, 503);
    await app.close();
  });

  it("answer Hugging Face's requests in its form, with as many answers as top_k says", async () => {
    const { app } = await serverOf(blip);
    const reply = await app.inject(invoking({ payload: { inputs: { image, question }, options: {} } }));
    assert.equal(reply.statusCode, 200, reply.body);
    const [{ score, ...answer }, ...others] = reply.json();
    assert.deepEqual([answer, others], [{ answer: asked.answer }, []]);
    assert(score > 0 && score <= 1);
    const parameters = { top_k: 3, max_new_tokens: 5 };
    const several = (await app.inject(invoking({ payload: { inputs: { image, question }, parameters } }))).json();
    assert.equal(several.length, 3);
    assert.equal(several[0].answer, asked.answer);
    const drawn = { top_k: 2, do_sample: true, seed: 1 };
    const sampled = await app.inject(invoking({ payload: { inputs: { image, question }, parameters: drawn } }));
    assert.equal(sampled.json().length, 2, sampled.body);
    await app.close();
  });

  it("ask the standing questions of a picture that is the body", async () => {
    const { app } = await serverOf(blip, { standingQuestions: [question, "what?"] });
    for (const options of [{ payload: asked.picture, headers: png }, { payload: { inputs: { image } } }]) {
      const reply = await app.inject(invoking(options));
      assert.equal(reply.statusCode, 200, reply.body);
      const [first, second] = reply.json();
      assert.deepEqual([first.question, first.answer, second.question], [question, asked.answer, "what?"]);
    }
    await app.close();
  });

  it("have problems, for all that may be wrong", async () => {
    const { app } = await serverOf(blip);
    const cases: [number, string, object][] = [
      [400, "INVALID_INPUT", { payload: asked.picture, headers: png }],
      [400, "INVALID_INPUT", {}],
      [400, "INVALID_INPUT", { payload: {} }],
      [400, "INVALID_INPUT", { payload: { inputs: { question } } }],
      [400, "INVALID_INPUT", { payload: { inputs: { image, question }, parameters: { nosuch: 1 } } }],
      [400, "INVALID_INPUT", { payload: { inputs: { image, question }, parameters: { top_k: 100 } } }],
      [422, "INVALID_IMAGE", { payload: { inputs: { image: "/etc/passwd", question } } }],
      [403, "URL_NOT_ALLOWED", { payload: { inputs: { image: "http://127.0.0.1/", question } } }],
    ];
    for (const [status, code, options] of cases) {
      const reply = await app.inject(invoking(options));
      assert.equal(reply.statusCode, status, reply.body);
      assert.match(String(reply.headers["content-type"]), /^application\/problem\+json/);
      assert.equal(reply.json().code, code);
    }
    await app.close();
  });

  it("describe a picture that is the body, or in JSON, with a model that makes captions", async () => {
    await using captioner = await loadModel({}, fixture("parity/captions-checkpoint/model"));
    const { app } = await serverOf(captioner);
    const reply = await app.inject(invoking({ payload: asked.picture, headers: png }));
    assert.equal(reply.statusCode, 200, reply.body);
    const [{ generated_text, ...others }] = reply.json();
    assert(typeof generated_text === "string" && generated_text !== "");
    assert.deepEqual(others, {});
    const parameters = { num_beams: 2, num_return_sequences: 2 };
    const two = await app.inject(invoking({ payload: { inputs: image, parameters } }));
    assert.equal(two.json().length, 2, two.body);
    await app.close();
  });
});
