import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Jimp } from "jimp";
import { NeuronBlip } from "neuron-blip";
import { compiledModel, demo, demoQuestions, fails } from "../helpers.js";

const [first, second] = demoQuestions as [(typeof demoQuestions)[number], (typeof demoQuestions)[number]];
const picture = join(demo, first.picture);

describe("NeuronBlip", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(compiledModel);
  });
  after(() => blip.dispose());

  it("answers the demo's questions about its pictures rightly", async () => {
    for (const { picture: file, question, answer } of demoQuestions) {
      const result = await blip.answer(join(demo, file), question);
      assert.equal(result.answer, answer, `${file}: ${question}`);
    }
  });

  it("takes a picture as a path, a URL, a Buffer, a Jimp instance and pixels, with one answer", async () => {
    const expected = await blip.answer(picture, first.question);
    const jimp = await Jimp.read(picture);
    const { data, width, height } = jimp.bitmap;
    const rgb = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) => data[Math.floor(i / 3) * 4 + (i % 3)] as number,
    );
    const sources = [
      pathToFileURL(picture),
      readFileSync(picture),
      jimp,
      { data, width, height, channels: 4 as const },
      { data: rgb, width, height, channels: 3 as const },
    ];
    for (const source of sources) assert.deepEqual(await blip.answer(source, first.question), expected);
  });

  it("scores an answer: its probability, and the sum and mean of its tokens' logarithms", async () => {
    const { score, sumLogProbability, meanLogProbability, tokenIds } = await blip.answer(picture, first.question);
    assert(score > 0 && score <= 1);
    assert(Math.abs(Math.log(score) - sumLogProbability) < 1e-12);
    assert(Math.abs(meanLogProbability * (tokenIds.length - 1) - sumLogProbability) < 1e-12);
  });

  it("looks once and answers many questions, in order and as one by one", async () => {
    const questions = [first.question, second.question, "how many shapes are there?"];
    using encoded = await blip.encodeImage(picture);
    const together = await blip.answer(encoded, questions);
    assert.deepEqual(await blip.answer(picture, questions), together);
    for (const [i, question] of questions.entries()) {
      assert.deepEqual(await blip.answer(encoded, question), together[i]);
    }
    assert.deepEqual(await blip.answer(encoded, []), []);
  });

  it("gives concurrent callers their own answers", async () => {
    const expected = demoQuestions.map(({ answer }) => answer);
    const answers = await Promise.all(
      demoQuestions.map((asked) => blip.answer(join(demo, asked.picture), asked.question)),
    );
    assert.deepEqual(
      answers.map(({ answer }) => answer),
      expected,
    );
  });

  it("limits answers by maxNewTokens, maxLength and minLength", async () => {
    const length = async (options: object) => (await blip.answer(picture, first.question, options)).tokenIds.length;
    assert.equal(await length({ maxNewTokens: 1 }), 2);
    assert.equal(await length({ maxLength: 3 }), 3);
    assert.equal(await length({ maxLength: 3, maxNewTokens: 3 }), 4, "maxNewTokens wins");
    assert((await length({ minLength: 8 })) >= 8);
    assert.equal(await length({ minLength: 9, maxLength: 5 }), 5, "as in transformers, it may not end before");
    for (const options of [{ maxNewTokens: 0 }, { maxLength: 1.5 }, { minLength: -1 }]) {
      await assert.rejects(length(options), fails("INVALID_INPUT"));
    }
    await assert.rejects(length({ beams: 3 }), fails("INVALID_INPUT", /no generation option "beams"/));
    await assert.rejects(length({ maxNewTokens: 11 }), fails("INVALID_INPUT", /--answer-length 11/));
  });

  it("refuses a question without words, and one longer than compiled, unless told to cut it", async () => {
    const long = "what is the color of the shape in the middle of this picture, please, dear model?";
    await assert.rejects(blip.answer(picture, ""), fails("INVALID_INPUT", /no words/));
    await assert.rejects(blip.answer(picture, "  \n"), fails("INVALID_INPUT", /no words/));
    await assert.rejects(blip.answer(picture, 7 as unknown as string), fails("INVALID_INPUT"));
    await assert.rejects(blip.answer(picture, [first.question, ""]), fails("INVALID_INPUT"));
    await assert.rejects(blip.answer(picture, long), fails("INPUT_TOO_LONG", /16/));
    assert.equal(typeof (await blip.answer(picture, long, { truncation: true })).answer, "string");
  });

  it("fails for a picture that cannot be read, and answers the next", async () => {
    for (const source of [
      "none.png",
      Buffer.alloc(0),
      Buffer.from("no picture"),
      readFileSync(picture).subarray(0, 60),
    ]) {
      await assert.rejects(blip.answer(source, first.question), fails("INVALID_IMAGE"));
    }
    for (const source of [null, 5, {}, { data: new Uint8Array(5), width: 2, height: 2 }]) {
      await assert.rejects(blip.answer(source as unknown as string, first.question), fails("INVALID_INPUT"));
    }
    assert.equal((await blip.answer(picture, first.question)).answer, first.answer);
  });

  it("refuses a picture that declares more pixels than the limit", async () => {
    await using limited = await NeuronBlip.fromPretrained(compiledModel, { maxPixels: 1000 });
    await assert.rejects(limited.answer(picture, first.question), fails("IMAGE_TOO_LARGE", /1,?000/));
  });

  it("stops where its AbortSignal is aborted: before, between steps, and never after", async () => {
    const reason = new Error("no longer wanted");
    await assert.rejects(
      blip.answer(picture, first.question, { signal: AbortSignal.abort(reason) }),
      (error: Error) => {
        assert.equal(error.cause, reason);
        return fails("ABORTED")(error);
      },
    );
    const controller = new AbortController();
    const running = blip.answer(picture, first.question, { signal: controller.signal });
    controller.abort();
    await assert.rejects(running, fails("ABORTED"));
    assert.equal((await blip.answer(picture, first.question)).answer, first.answer);
  });

  it("answers alike with several replicas", async () => {
    await using replicas = await NeuronBlip.fromPretrained(compiledModel, { numModels: 2 });
    assert.equal(replicas.numModels, 2);
    const answers = await Promise.all(
      demoQuestions.map((asked) => replicas.answer(join(demo, asked.picture), asked.question)),
    );
    assert.deepEqual(
      answers.map(({ answer }) => answer),
      demoQuestions.map(({ answer }) => answer),
    );
    await assert.rejects(
      NeuronBlip.fromPretrained(compiledModel, { numModels: 0 }),
      fails("INVALID_INPUT", /numModels/),
    );
  });

  it("finishes the calls under way before it is disposed, and refuses those after", async () => {
    const model = await NeuronBlip.fromPretrained(compiledModel);
    const running = [model.answer(picture, first.question), model.answer(picture, second.question)];
    const disposed = model.dispose();
    await assert.rejects(model.answer(picture, first.question), fails("DISPOSED"));
    await assert.rejects(model.encodeImage(picture), fails("DISPOSED"));
    await disposed;
    await model.dispose();
    assert.equal((await running[0])?.answer, first.answer);
    await running[1];
  });

  it("is loaded by require as well as by import", async () => {
    const { createRequire } = await import("node:module");
    assert.equal(createRequire(import.meta.url)("neuron-blip").NeuronBlip, NeuronBlip);
  });
});
