import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type ImageToTextPipeline,
  NeuronBlip,
  type PipelineTask,
  pipeline,
  type VisualQuestionAnsweringPipeline,
} from "neuron-blip";
import { compiledModel, demo, demoQuestions, fails, fixture } from "../helpers.js";

/** Small, with random weights: what they say has no sense. */
const captionModel = fixture("parity/captions/model");
const retrievalModel = fixture("parity/retrieval/model");

const picture = (name: string) => join(demo, "pictures", name);
const square = picture("purple-square.png");
const star = picture("yellow-star.png");
const count = "how many shapes are there?";
const scene = "what is in the picture?";

/** A call that TypeScript would refuse. */
type Loose = (...args: unknown[]) => Promise<unknown>;

describe('pipeline("visual-question-answering")', () => {
  let vqa: VisualQuestionAnsweringPipeline;
  let loose: Loose;
  before(async () => {
    vqa = await pipeline("visual-question-answering", compiledModel, { threads: 1 });
    loose = vqa as unknown as Loose;
  });
  after(() => vqa.dispose());

  it("answers a question with a list of one answer and its score, and has its task and model", async () => {
    const results = await vqa(square, count);
    assert.equal(vqa.task, "visual-question-answering");
    assert(vqa.model instanceof NeuronBlip);
    const { score } = await vqa.model.answer(square, count);
    assert.deepEqual(results, [{ answer: "1", score }]);
  });

  it("takes { image, question } and lists of those, of pictures and of questions, as Python's pipeline", async () => {
    const answersOf = (results: { answer: string }[][]) => results.map(([best]) => best?.answer);
    const [one] = await vqa({ image: square, question: count });
    assert.equal(one?.answer, "1");

    const asked = demoQuestions.map(({ picture: file, question }) => ({ image: join(demo, file), question }));
    const expected = demoQuestions.map(({ answer }) => answer);
    assert.deepEqual(answersOf(await vqa(asked)), expected);

    assert.deepEqual(answersOf(await vqa(square, [count, scene])), ["1", "a purple square"]);
    assert.deepEqual(answersOf(await vqa([star, square], scene)), ["a yellow star", "a purple square"]);
    assert.deepEqual(answersOf(await vqa([square], count)), ["1"]);
    assert.deepEqual(await vqa([]), []);
    assert.deepEqual(await vqa(square, []), []);
  });

  it("asks every question about every picture where both are lists: the first about each, then the second", async () => {
    const results = await vqa([star, square], [scene, "what color is the square?", "is there a yellow star?"]);
    const answers = results.map(([best]) => best?.answer);
    assert.equal(answers.length, 6);
    assert.deepEqual(answers.slice(0, 2), ["a yellow star", "a purple square"]);
    assert.equal(answers[3], "purple");
    assert.deepEqual(answers.slice(4), ["yes", "no"]);
  });

  it("gives topK answers by beam search, the best first, with as many beams or more", async () => {
    const {
      answer,
      score,
      alternatives = [],
    } = await vqa.model.answer(square, scene, {
      numBeams: 3,
      numReturnSequences: 3,
    });
    const beams = [{ answer, score }, ...alternatives.map((other) => ({ answer: other.answer, score: other.score }))];
    assert.equal(beams.length, 3);
    assert.deepEqual(await vqa(square, scene, { topK: 3 }), beams);
    assert.deepEqual(await vqa(square, scene, { topK: 2, numBeams: 3 }), beams.slice(0, 2));
    assert.deepEqual(await vqa({ image: square, question: scene }, { topK: 3 }), beams);
    assert.deepEqual(await vqa([square], scene, { topK: 3 }), [beams]);
  });

  it("draws topK answers where it samples, the most probable first, as often as they were drawn", async () => {
    const options = { doSample: true, temperature: 4, seed: 0 };
    const answers = await vqa(square, scene, { ...options, topK: 6 });
    const scores = answers.map(({ score }) => score);
    assert.equal(answers.length, 6);
    assert.deepEqual(
      scores,
      [...scores].sort((one, other) => other - one),
    );
    const drawn = await vqa.model.answer(square, scene, { ...options, numReturnSequences: 6 });
    assert.notEqual(drawn.score, scores[0], "the draws of this seed need sorting");
  });

  it("takes options in snake_case too", async () => {
    const options = { maxNewTokens: 2, numBeams: 3, topK: 3 };
    const results = await vqa(square, scene, { max_new_tokens: 2, num_beams: 3, top_k: 3 });
    assert.equal(results.length, 3);
    assert.deepEqual(results, await vqa(square, scene, options));
    assert.notDeepEqual(results, await vqa(square, scene, { topK: 3 }));
    await assert.rejects(loose(square, scene, { top_k: 2, topK: 2 }), fails("INVALID_INPUT", /topK was given twice/));
  });

  it("refuses wrong options and inputs, says what to do, and answers the next", async () => {
    for (const [args, message] of [
      [[square], /Give a picture and a question, or \{ image, question \}/],
      [[[{ image: square, question: count }, square]], /Give a picture and a question/],
      [[square, 5], /Give a picture and a question/],
      [[square, ""], /no words/],
      [[7, count], /A picture is a path/],
      [[square, count, 3], /options must be an object, not 3/],
      [[square, count, { topK: 0 }], /topK, the number of answers, must be a whole number >= 1, not 0/],
      [[square, count, { num_return_sequences: 2 }], /topK is the number of answers/],
      [[square, count, { topK: 2, numBeams: "4" }], /numBeams must be a whole number/],
      [[square, count, { settled: true }], /no option settled/],
      [[square, count, { max_tokens: 5 }], /no generation option "maxTokens"/],
    ] as [unknown[], RegExp][]) {
      await assert.rejects(loose(...args), fails("INVALID_INPUT", message));
    }
    await assert.rejects(vqa("none.png", count), fails("INVALID_IMAGE", /none\.png/));
    assert.equal((await vqa(square, count))[0]?.answer, "1");
  });
});

describe('pipeline("image-to-text")', () => {
  let describeImage: ImageToTextPipeline;
  before(async () => {
    describeImage = await pipeline("image-to-text", captionModel, { threads: 1 });
  });
  after(() => describeImage.dispose());

  it("describes a picture as [{ generated_text }], and a list with a list of those", async () => {
    assert.equal(describeImage.task, "image-to-text");
    const { caption: ofStar } = await describeImage.model.caption(star);
    const { caption: ofSquare } = await describeImage.model.caption(square);
    assert.deepEqual(await describeImage(star), [{ generated_text: ofStar }]);
    assert.deepEqual(await describeImage([star, square]), [
      [{ generated_text: ofStar }],
      [{ generated_text: ofSquare }],
    ]);
    assert.deepEqual(await describeImage([]), []);
  });

  it("begins with the prompt, and takes generation options in either case", async () => {
    const options = { prompt: "a picture of", maxNewTokens: 3 };
    const { caption } = await describeImage.model.caption(star, options);
    assert(caption.startsWith("a picture of "));
    assert.deepEqual(await describeImage(star, options), [{ generated_text: caption }]);
    assert.deepEqual(await describeImage(star, { prompt: "a picture of", max_new_tokens: 3 }), [
      { generated_text: caption },
    ]);
  });

  it("gives numReturnSequences captions for each picture", async () => {
    const options = { num_beams: 2, num_return_sequences: 2, max_new_tokens: 3 };
    const results = await describeImage([star, square], options);
    assert.deepEqual(
      results.map(({ length }) => length),
      [2, 2],
    );
    const [first, second] = results[0] as { generated_text: string }[];
    assert.notEqual(first?.generated_text, second?.generated_text);
  });

  it("refuses wrong options and pictures", async () => {
    const loose = describeImage as unknown as Loose;
    await assert.rejects(loose(star, "a picture of"), fails("INVALID_INPUT", /options must be an object/));
    await assert.rejects(loose(star, { settled: true }), fails("INVALID_INPUT", /settled/));
    await assert.rejects(loose(), fails("INVALID_INPUT", /A picture is a path/));
    await assert.rejects(loose([star, "none.png"]), fails("INVALID_IMAGE", /none\.png/));
  });
});

describe("pipeline", () => {
  it("refuses tasks that do not exist, and says which do", async () => {
    for (const task of ["object-detection", "toString", undefined]) {
      await assert.rejects(
        pipeline(task as PipelineTask as "image-to-text", compiledModel),
        fails("INVALID_INPUT", /visual-question-answering and image-to-text/),
      );
    }
    await assert.rejects((pipeline as unknown as Loose)("image-to-text"), fails("INVALID_INPUT", /model directory/));
    await assert.rejects(pipeline("image-to-text", "/no/model"), fails("ARTIFACT_NOT_FOUND", /neuron-blip compile/));
  });

  it("refuses a model of another task, and names the pipeline for it", async () => {
    await assert.rejects(
      pipeline("image-to-text", compiledModel),
      fails("ARTIFACT_MISMATCH", /needs a BlipForConditionalGeneration.*pipeline\("visual-question-answering"/),
    );
    await assert.rejects(
      pipeline("visual-question-answering", captionModel),
      fails("ARTIFACT_MISMATCH", /needs a BlipForQuestionAnswering.*pipeline\("image-to-text"/),
    );
    await assert.rejects(pipeline("image-to-text", retrievalModel), fails("ARTIFACT_MISMATCH", /match and similarity/));
  });

  it("is disposed by `await using`, once or twice, and refuses calls after", async () => {
    let kept: VisualQuestionAnsweringPipeline;
    {
      await using vqa = await pipeline("visual-question-answering", compiledModel, { threads: 1 });
      kept = vqa;
    }
    await assert.rejects(kept(square, count), fails("DISPOSED"));
    await kept.dispose();
  });
});
