// The Open Inference Protocol: health, metadata, inference as JSON and as bytes, and what it says of what is wrong.
import assert from "node:assert/strict";
import type { NeuronBlip } from "neuron-blip";
import { fixture } from "../../../test/helpers.js";
import type { BlipServer } from "../dist/index.js";
import { asked, loadModel, other, serverOf } from "./server-test.ts";

const base64 = ({ picture }: typeof asked) => picture.toString("base64");
const bytesTensor = (name: string, data: unknown[], shape = [data.length]) => ({
  name,
  shape,
  datatype: "BYTES",
  data,
});

/** Elements as the binary extension has them. */
const packed = (...elements: (Buffer | string)[]) =>
  Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(Buffer.byteLength(element));
      return [length, Buffer.from(element)];
    }),
  );

function unpacked(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
    texts.push(bytes.toString("utf8", at + 4, at + 4 + bytes.readUInt32LE(at)));
  }
  return texts;
}

describe("the Open Inference Protocol", () => {
  let blip: NeuronBlip;
  let server: BlipServer;
  before(async () => {
    blip = await loadModel();
    server = await serverOf(blip, { modelName: "vqa" });
  });
  after(async () => {
    await server.app.close();
    await blip.dispose();
  });

  const infer = (options: object, url = "/v2/models/vqa/infer") =>
    server.app.inject({ method: "POST", url, ...options });
  const inputs = [
    bytesTensor("image", [base64(asked), base64(other)]),
    bytesTensor("question", [asked.question, other.question]),
  ];

  it("tells of the server and of the model, with its version or without", async () => {
    const { extensions, ...about } = (await server.app.inject("/v2")).json();
    assert.deepEqual(Object.keys(about), ["name", "version"]);
    assert.deepEqual(extensions, ["binary_tensor_data"]);
    for (const url of ["/v2/models/vqa", "/v2/models/vqa/versions/1"]) {
      const { name, versions, inputs, outputs } = (await server.app.inject(url)).json();
      assert.deepEqual([name, versions], ["vqa", ["1"]]);
      assert.deepEqual(inputs, [
        { name: "image", datatype: "BYTES", shape: [-1] },
        { name: "question", datatype: "BYTES", shape: [-1] },
      ]);
      assert.deepEqual(outputs, [
        { name: "answer", datatype: "BYTES", shape: [-1] },
        { name: "score", datatype: "FP32", shape: [-1] },
      ]);
    }
  });

  it("tells of health without a key, from any host", async () => {
    const { app, context } = await serverOf(blip, { modelName: "vqa", apiKeys: ["key"] });
    const health = ["/v2/health/live", "/v2/health/ready", "/v2/models/vqa/ready", "/v2/models/vqa/versions/1/ready"];
    const statuses = async (urls = health) =>
      Promise.all(urls.map(async (url) => (await app.inject({ url, headers: { host: "pod" } })).statusCode));
    assert.deepEqual(await statuses(), [200, 200, 200, 200]);
    assert.deepEqual(await statuses(["/v2", "/v2/models/vqa"]), [401, 401]);
    assert.deepEqual((await app.inject("/v2/health/live")).json(), { live: true });
    context.state.drain();
    assert.deepEqual(await statuses(), [200, 503, 503, 503]);
    assert.deepEqual((await app.inject("/v2/models/vqa/ready")).json(), { name: "vqa", ready: false });
    await app.close();
  });

  it("answers a question about each picture, in JSON, whatever the content type", async () => {
    for (const url of ["/v2/models/vqa/infer", "/v2/models/vqa/versions/1/infer"]) {
      for (const headers of [
        { "content-type": "application/json" },
        { "content-type": "application/octet-stream" },
        {},
      ]) {
        const reply = await infer({ payload: JSON.stringify({ id: "42", inputs }), headers }, url);
        assert.equal(reply.statusCode, 200, reply.body);
        const { outputs, ...head } = reply.json();
        assert.deepEqual(head, { model_name: "vqa", model_version: "1", id: "42" });
        const [answer, score] = outputs;
        assert.deepEqual(answer, {
          name: "answer",
          ...{ datatype: "BYTES", shape: [2], data: [asked.answer, other.answer] },
        });
        assert.deepEqual([score.name, score.datatype, score.shape, score.data.length], ["score", "FP32", [2], 2]);
      }
    }
  });

  it("takes other shapes of as many elements, and gives the outputs that were asked for", async () => {
    const payload = {
      inputs: [bytesTensor("question", [[asked.question]], [1, 1]), bytesTensor("image", [[base64(asked)]], [1, 1])],
      outputs: [{ name: "answer" }],
    };
    const { outputs } = (await infer({ payload })).json();
    assert.deepEqual(outputs, [{ name: "answer", datatype: "BYTES", shape: [1], data: [asked.answer] }]);
  });

  /** A request whose pictures' bytes follow its JSON. */
  const binary = (images: Buffer, questions: Buffer, fields: object = {}) => {
    const tensor = (name: string, { length }: Buffer) => {
      const parameters = { binary_data_size: length };
      return { name, shape: [2], datatype: "BYTES", parameters };
    };
    const json = Buffer.from(
      JSON.stringify({ inputs: [tensor("image", images), tensor("question", questions)], ...fields }),
    );
    const payload = Buffer.concat([json, images, questions]);
    return { payload, headers: { "inference-header-content-length": String(json.length) } };
  };
  const images = packed(asked.picture, other.picture);
  const questions = packed(asked.question, other.question);

  it("takes bytes after the JSON, and replies in JSON", async () => {
    const { payload, headers } = binary(images, questions);
    for (const type of ["application/octet-stream", "application/json"]) {
      const reply = await infer({ payload, headers: { ...headers, "content-type": type } });
      assert.equal(reply.statusCode, 200, reply.body);
      assert.deepEqual(reply.json().outputs[0].data, [asked.answer, other.answer]);
    }
  });

  it("replies with bytes after the JSON where that is asked for, of all outputs or of some", async () => {
    const all = { parameters: { binary_data_output: true } };
    const some = { outputs: [{ name: "score" }, { name: "answer", parameters: { binary_data: true } }] };
    for (const [fields, names] of [
      [all, ["answer", "score"]],
      [some, ["answer"]],
    ] as const) {
      const reply = await infer(binary(images, questions, fields));
      assert.equal(reply.statusCode, 200, reply.body);
      assert.equal(reply.headers["content-type"], "application/octet-stream");
      const end = Number(reply.headers["inference-header-content-length"]);
      const { outputs } = JSON.parse(reply.rawPayload.toString("utf8", 0, end));
      let at = end;
      for (const { name, parameters, shape, data } of outputs) {
        assert.deepEqual(shape, [2]);
        if (!(names as readonly string[]).includes(name)) {
          assert.equal(data.length, 2);
          continue;
        }
        const bytes = reply.rawPayload.subarray(at, at + parameters.binary_data_size);
        at += bytes.length;
        if (name === "answer") assert.deepEqual(unpacked(bytes), [asked.answer, other.answer]);
        else assert(bytes.length === 8 && bytes.readFloatLE(0) > 0 && bytes.readFloatLE(4) <= 1);
      }
      assert.equal(at, reply.rawPayload.length);
    }
  });

  it("has errors in its form, for all that may be wrong", async () => {
    const image = bytesTensor("image", [base64(asked)]);
    const question = bytesTensor("question", [asked.question]);
    const json = (...inputs: object[]) => ({ payload: { inputs } });
    const { payload, headers } = binary(images, questions);
    const cut = (bytes: Buffer, length: number) => bytes.subarray(0, bytes.length - length);
    const cases: [number, RegExp, object, string?][] = [
      [404, /no model "nosuch"/, json(image, question), "/v2/models/nosuch/infer"],
      [404, /no version 2/, json(image, question), "/v2/models/vqa/versions/2/infer"],
      [404, /no POST/, {}, "/v2/nosuch"],
      [405, /takes GET, HEAD/, {}, "/v2/models/vqa"],
      [400, /no body/, {}],
      [400, /not JSON/, { payload: "{" }],
      [400, /must have required property 'inputs'/, { payload: {} }],
      [400, /"image" is missing/, json(question)],
      [400, /"question" is missing/, json(image)],
      [400, /"image" is missing, or has no/, json(bytesTensor("image", []), bytesTensor("question", []))],
      [400, /no input "size"/, json(image, question, bytesTensor("size", ["1"]))],
      [400, /given twice/, json(image, question, question)],
      [400, /1 elements; its shape says 2/, json(bytesTensor("image", [base64(asked)], [2]), question)],
      [400, /1 of "image" and 2 of "question"/, json(image, bytesTensor("question", ["a", "b"]))],
      [400, /not all strings/, json(bytesTensor("image", [5]), question)],
      [400, /neither data/, json({ name: "image", shape: [1], datatype: "BYTES" }, question)],
      [400, /datatype/, json({ ...image, datatype: "UINT8" }, question)],
      [400, /no output "nosuch"/, { payload: { inputs: [image, question], outputs: [{ name: "nosuch" }] } }],
      [422, /./, json(bytesTensor("image", ["AAAA"]), question)],
      [400, /not base64/, json(bytesTensor("image", ["/etc/passwd!"]), question)],
      [400, /32 at most/, json(...["image", "question"].map((name) => bytesTensor(name, new Array(33).fill("AAAA"))))],
      [400, /is not so/, { payload, headers: { "inference-header-content-length": "1e9" } }],
      [400, /is not so/, { payload, headers: { "inference-header-content-length": "x" } }],
      [400, /ends within/, { payload: cut(payload, 1), headers }],
      [400, /1 bytes follow/, { payload: Buffer.concat([payload, Buffer.alloc(1)]), headers }],
      [400, /do not fit/, binary(images, cut(questions, 1))],
      [400, /do not fit/, binary(images, Buffer.from([1, 2, 3]))],
      [413, /limit/, { payload: Buffer.alloc(11 * 2 ** 20) }],
    ];
    for (const [status, message, options, url] of cases) {
      const reply = await infer(options, url);
      assert.equal(reply.statusCode, status, `${message}: ${reply.body.slice(0, 300)}`);
      assert.match(reply.json().error, message);
      assert.deepEqual(Object.keys(reply.json()), ["error"]);
    }
    const locked = await serverOf(blip, { apiKeys: ["key"] });
    const reply = await locked.app.inject({ method: "POST", url: "/v2/models/blip/infer", payload: {} });
    assert.deepEqual([reply.statusCode, Object.keys(reply.json())], [401, ["error"]]);
    await locked.app.close();
  });
});

describe("the Open Inference Protocol of other models", () => {
  const ask = async (model: string, ...inputs: object[]) => {
    await using blip = await loadModel({}, fixture(`parity/${model}/model`));
    const { app } = await serverOf(blip);
    const reply = await app.inject({ method: "POST", url: "/v2/models/blip/infer", payload: { inputs } });
    const metadata = (await app.inject("/v2/models/blip")).json();
    await app.close();
    assert.equal(reply.statusCode, 200, reply.body);
    const { outputs } = reply.json();
    const names = ({ name }: { name: string }) => name;
    assert.deepEqual(metadata.outputs.map(names), outputs.map(names));
    return outputs;
  };
  const image = bytesTensor("image", [base64(asked), base64(asked)]);

  it("describes pictures, each from its prompt on, or from nothing", async () => {
    const [captions] = await ask("captions-checkpoint", image, bytesTensor("prompt", ["a picture of", ""]));
    assert.equal(captions.name, "caption");
    assert.match(captions.data[0], /^a picture of/);
    const [free] = await ask("captions-checkpoint", image);
    assert.deepEqual(free.data, [captions.data[1], captions.data[1]]);
  });

  it("matches a text with each picture", async () => {
    const [score] = await ask("retrieval-checkpoint", image, bytesTensor("text", ["a dog", "a cat"]));
    assert.deepEqual([score.name, score.shape], ["score", [2]]);
  });
});
