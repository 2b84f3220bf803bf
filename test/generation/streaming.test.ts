import assert from "node:assert/strict";
import { BlipProcessor, NeuronBlip, TextStreamer } from "neuron-blip";
import { fails, fixture } from "../helpers.js";

const picture = fixture("pictures/chelsea.png");
const question = "is there a boat near the river?";
const many = { minNewTokens: 12, maxNewTokens: 12 };

describe("streaming", () => {
  let blip: NeuronBlip;
  let captions: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), { threads: 1 });
    captions = await NeuronBlip.fromPretrained(fixture("parity/captions/model"), { threads: 1 });
  });
  after(() => Promise.all([blip?.dispose(), captions?.dispose()]));

  const read = async (pieces: AsyncIterable<string>) => {
    const all: string[] = [];
    for await (const piece of pieces) all.push(piece);
    return all;
  };

  it("gives an answer in pieces that together are the answer", async () => {
    for (const options of [{}, many, { doSample: true, seed: 4, ...many }]) {
      const { answer } = await blip.answer(picture, question, options);
      const pieces = await read(blip.stream(picture, question, options));
      assert.equal(pieces.join(""), answer);
      assert(pieces.every((piece) => piece.length > 0));
      if ("minNewTokens" in options) assert(pieces.length > 3, `only ${pieces.length} pieces`);
    }
  });

  it("gives a caption in pieces, its prompt first", async () => {
    const { caption } = await captions.caption(picture, { prompt: "a cup of", ...many });
    assert(caption.startsWith("a cup of"));
    assert.equal((await read(captions.stream(picture, "a cup of", many))).join(""), caption);
    const { caption: bare } = await captions.caption(picture, many);
    assert.equal((await read(captions.stream(picture, undefined, many))).join(""), bare);
  });

  it("gives pieces before the generation has ended, and ends it where the loop is left", async () => {
    let steps = 0;
    const counting = { ...many, logitsProcessors: [() => void steps++] };
    let first = "";
    for await (const piece of blip.stream(picture, question, counting)) {
      first = piece;
      break;
    }
    assert(first.length > 0);
    assert(steps < 12, "the generation went on to its end");
    const stopped = steps;
    // The replica is free: nothing of the generation that was left still runs.
    const { answer } = await blip.answer(picture, question, many);
    assert(answer.startsWith(first));
    assert.equal(steps, stopped);
  });

  it("ends with ABORTED where its AbortSignal is aborted in between, and before", async () => {
    const controller = new AbortController();
    const abort = (sequence: readonly number[]) => {
      if (sequence.length === 4) controller.abort();
    };
    const aborted = blip.stream(picture, question, { ...many, logitsProcessors: [abort], signal: controller.signal });
    await assert.rejects(read(aborted), fails("ABORTED"));
    const before = blip.stream(picture, question, { signal: AbortSignal.abort() });
    await assert.rejects(read(before), fails("ABORTED"));
    assert((await blip.answer(picture, question)).answer.length > 0);
  });

  it("hands errors to the loop", async () => {
    await assert.rejects(read(blip.stream("none.png", question)), fails("INVALID_IMAGE"));
    await assert.rejects(read(blip.stream(picture, "")), fails("INVALID_INPUT", /no words/));
    await assert.rejects(read(blip.stream(picture)), fails("INVALID_INPUT"));
    await assert.rejects(read(blip.stream(picture, question, { numBeams: 2 })), fails("INVALID_INPUT", /streamer/i));
    const reason = new Error("of the user's");
    const thrower = (sequence: readonly number[]) => {
      if (sequence.length === 3) throw reason;
    };
    const failing = blip.stream(picture, question, { ...many, logitsProcessors: [thrower] });
    await assert.rejects(read(failing), (error) => error === reason);
    assert((await read(blip.stream(picture, question))).length > 0);
  });

  it("tells a TextStreamer of the user's each token, and leaves the prompt out where asked", async () => {
    const processor = await BlipProcessor.fromPretrained(fixture("parity/captions/model"));
    const prompt = "a cup of";
    const { caption, tokenIds } = await captions.caption(picture, { prompt, ...many });
    const promptLength = tokenIds.length - 12;
    for (const skipPrompt of [false, true]) {
      const pieces: string[] = [];
      const tokens: number[] = [];
      const streamer = new TextStreamer(processor, {
        skipPrompt,
        callbackFunction: (text) => pieces.push(text),
        tokenCallbackFunction: (token) => tokens.push(token),
      });
      await captions.caption(picture, { prompt, ...many, streamer });
      assert.deepEqual(tokens, skipPrompt ? tokenIds.slice(promptLength) : tokenIds);
      const text = skipPrompt ? processor.decode(tokenIds.slice(promptLength)) : caption;
      assert.equal(pieces.join(""), text);
    }
  });

  it("tells a Streamer the prompt, each token and the end, and not the end where it fails", async () => {
    const told: (readonly number[] | "end")[] = [];
    const streamer = { put: (tokens: readonly number[]) => told.push([...tokens]), end: () => told.push("end") };
    const { tokenIds } = await blip.answer(picture, question, { streamer });
    assert.deepEqual(told, [...tokenIds.map((token) => [token]), "end"]);
    told.length = 0;
    await assert.rejects(blip.answer(picture, [question, question], { streamer }), fails("INVALID_INPUT", /one/));
    assert.deepEqual(told, []);
  });

  it("passes on no half of a word, and no word that the next piece changes", () => {
    const words = ["don", "don '", "don't", "don't go", "don't going", "don't going home"];
    const pieces: string[] = [];
    let step = 0;
    const tokenizer = { decode: () => words[Math.min(step++, words.length - 1)] as string };
    const streamer = new TextStreamer(tokenizer, { callbackFunction: (text) => pieces.push(text) });
    for (const [i] of words.entries()) streamer.put([i]);
    streamer.end();
    assert.deepEqual(pieces, ["don't ", "going ", "home"]);
  });
});
