import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  NeuronBlip,
  NeuronBlipForConditionalGeneration,
  NeuronBlipForImageTextRetrieval,
  NeuronBlipForQuestionAnswering,
} from "neuron-blip";
import { assertAlike, fails, fixture } from "../helpers.js";

const DIRECTORIES = {
  BlipForQuestionAnswering: fixture("parity/small-batch-2/model"),
  BlipForConditionalGeneration: fixture("parity/captions/model"),
  BlipForImageTextRetrieval: fixture("parity/retrieval/model"),
};
const PICTURES = ["astronaut.png", "chelsea.png", "coffee.png"].map((name) => fixture(`pictures/${name}`));
const [astronaut, chelsea] = PICTURES as [string, string];
const TEXTS = ["a cat", "a cup of coffee on a table", "no"];

describe("the heads", () => {
  let answering: NeuronBlip;
  let captioning: NeuronBlip;
  let retrieving: NeuronBlip;
  before(async () => {
    [answering, captioning, retrieving] = await Promise.all([
      NeuronBlip.fromPretrained(DIRECTORIES.BlipForQuestionAnswering, { threads: 1 }),
      NeuronBlip.fromPretrained(DIRECTORIES.BlipForConditionalGeneration, { threads: 1 }),
      NeuronBlip.fromPretrained(DIRECTORIES.BlipForImageTextRetrieval, { threads: 1 }),
    ]);
  });
  after(() => Promise.all([answering, captioning, retrieving].map((blip) => blip?.dispose())));

  it("are told by config.json", () => {
    assert.equal(answering.architecture, "BlipForQuestionAnswering");
    assert.equal(captioning.architecture, "BlipForConditionalGeneration");
    assert.equal(retrieving.architecture, "BlipForImageTextRetrieval");
  });

  it("refuse the methods of another head, saying what they can do", async () => {
    const methods: Record<string, (blip: NeuronBlip) => Promise<unknown>> = {
      answer: (blip) => blip.answer(chelsea, "dog?"),
      rank: (blip) => blip.rank(chelsea, "dog?", ["yes", "no"]),
      caption: (blip) => blip.caption(chelsea),
      match: (blip) => blip.match(chelsea, "a cat"),
      similarity: async (blip) => blip.similarity([chelsea], ["a cat"]),
      stream: (blip) => blip.stream(chelsea, "dog?").next(),
    };
    const can: [NeuronBlip, string[], RegExp][] = [
      [answering, ["answer", "rank", "stream"], /it can answer, stream and rank/],
      [captioning, ["caption", "stream"], /it can caption and stream/],
      [retrieving, ["match", "similarity"], /it can match and similarity/],
    ];
    for (const [blip, own, message] of can) {
      for (const [name, call] of Object.entries(methods)) {
        if (own.includes(name)) await call(blip);
        else await assert.rejects(call(blip), fails("ARTIFACT_MISMATCH", message), `${name} of ${blip.architecture}`);
      }
    }
  });

  it("are not loaded by the classes of others", async () => {
    const classes = {
      NeuronBlipForQuestionAnswering,
      NeuronBlipForConditionalGeneration,
      NeuronBlipForImageTextRetrieval,
    };
    for (const [name, { fromPretrained }] of Object.entries(classes)) {
      for (const [architecture, directory] of Object.entries(DIRECTORIES)) {
        const load = fromPretrained(directory, { threads: 1 });
        if (name === `Neuron${architecture}`) await (await load).dispose();
        else await assert.rejects(load, fails("ARTIFACT_MISMATCH", new RegExp(`a ${architecture}, not a`)));
      }
    }
  });

  it("are refused where a part is missing", async () => {
    for (const [architecture, part] of [
      ["BlipForConditionalGeneration", "text_decoder.pt"],
      ["BlipForImageTextRetrieval", "text_projection.pt"],
    ] as const) {
      const directory = mkdtempSync(join(tmpdir(), "neuron-blip-"));
      try {
        cpSync(DIRECTORIES[architecture], directory, { recursive: true });
        rmSync(join(directory, part));
        await assert.rejects(NeuronBlip.fromPretrained(directory), fails("ARTIFACT_NOT_FOUND", new RegExp(part)));
      } finally {
        rmSync(directory, { recursive: true });
      }
    }
  });

  describe("captions", () => {
    it("begin with the prompt, and are the same one by one and in a list", async () => {
      const options = { prompt: "a cup of", maxNewTokens: 6 };
      const list = await captioning.caption(PICTURES, options);
      assert.equal(list.length, 3);
      for (const [i, picture] of PICTURES.entries()) {
        const caption = await captioning.caption(picture, options);
        assertAlike(list[i], caption);
        assert(caption.caption.startsWith("a cup of"));
      }
      assert.deepEqual(await captioning.caption([]), []);
    });

    it("without words for a prompt are those without a prompt", async () => {
      assertAlike(await captioning.caption(chelsea, { prompt: "" }), await captioning.caption(chelsea));
      await assert.rejects(captioning.caption(chelsea, { prompt: " " }), fails("INVALID_INPUT"));
      await assert.rejects(captioning.caption(chelsea, { prompt: 5 as unknown as string }), fails("INVALID_INPUT"));
    });

    it("count maxLength with the prompt, maxNewTokens without, and refuse what was not compiled", async () => {
      const prompt = "a red cup of";
      const length = async (options: object) =>
        (await captioning.caption(chelsea, { prompt, ...options })).tokenIds.length;
      // [DEC], four words.
      assert.equal(await length({ maxNewTokens: 3, minNewTokens: 3 }), 8);
      assert.equal(await length({ maxLength: 7, minLength: 7 }), 7);
      await assert.rejects(length({ maxLength: 5 }), fails("INVALID_INPUT", /no room/));
      await assert.rejects(length({ maxNewTokens: 37 }), fails("INVALID_INPUT", /--answer-length 41/));
      assert.equal(await length({ maxNewTokens: 36, minNewTokens: 36 }), 41);
      const long = Array.from({ length: 45 }, () => "cat").join(" ");
      await assert.rejects(
        captioning.caption(chelsea, { prompt: long }),
        fails("INVALID_INPUT", /prompt has 46 tokens/),
      );
    });

    it("with `settled` fail alone", async () => {
      const [first, second] = await captioning.caption([chelsea, "none.png"], { settled: true });
      assertAlike(first, { status: "fulfilled", value: await captioning.caption(chelsea) });
      assert.equal(second?.status, "rejected");
    });

    it("have alternatives where several sequences are asked for", async () => {
      const { alternatives = [], ...best } = await captioning.caption(chelsea, { numBeams: 3, numReturnSequences: 3 });
      assert.equal(alternatives.length, 2);
      assert(alternatives.every(({ caption }) => typeof caption === "string"));
      assert(alternatives.every(({ sequenceScore }) => sequenceScore <= best.sequenceScore));
    });
  });

  describe("matches", () => {
    it("are the same one by one and in a list, whatever the texts' lengths", async () => {
      const list = await retrieving.match(chelsea, TEXTS);
      for (const [i, text] of TEXTS.entries()) {
        const { score, logits } = await retrieving.match(chelsea, text);
        assert(Math.abs(score - (list[i]?.score as number)) < 1e-6);
        assert(Math.abs(score - 1 / (1 + Math.exp(logits[0] - logits[1]))) < 1e-12);
      }
      const pairs = await retrieving.match(PICTURES, TEXTS);
      for (const [i, picture] of PICTURES.entries()) {
        const { score } = await retrieving.match(picture, TEXTS[i] as string);
        assert(Math.abs(score - (pairs[i]?.score as number)) < 1e-6);
      }
      assert.deepEqual(await retrieving.match(chelsea, []), []);
    });

    it("with `settled` fail alone; a text too long is cut by `truncation`", async () => {
      const long = Array.from({ length: 30 }, () => "cat").join(" ");
      const [first, second, third] = await retrieving.match(chelsea, ["a cat", long, ""], { settled: true });
      assert.equal(first?.status, "fulfilled");
      fails("INPUT_TOO_LONG")((second as PromiseRejectedResult).reason);
      fails("INVALID_INPUT")((third as PromiseRejectedResult).reason);
      await assert.rejects(retrieving.match(chelsea, long), fails("INPUT_TOO_LONG"));
      const { score } = await retrieving.match(chelsea, long, { truncation: true });
      assert(score >= 0 && score <= 1);
    });

    it("compares pictures as they were when the call came", async () => {
      const bytes = readFileSync(chelsea);
      const call = retrieving.similarity([bytes], TEXTS);
      bytes.fill(0);
      assertAlike(await call, await retrieving.similarity([chelsea], TEXTS));
    });

    it("and cosines are asked for with arrays, and stop where they are aborted", async () => {
      await assert.rejects(retrieving.match(chelsea, undefined as unknown as string), fails("INVALID_INPUT"));
      const similarity = async (images: unknown, texts: unknown, options = {}) =>
        retrieving.similarity(images as string[], texts as string[], options);
      await assert.rejects(similarity(chelsea, TEXTS), fails("INVALID_INPUT", /array/));
      await assert.rejects(similarity([chelsea], "a cat"), fails("INVALID_INPUT", /array/));
      await assert.rejects(similarity([chelsea], [""]), fails("INVALID_INPUT"));
      const signal = AbortSignal.abort();
      await assert.rejects(similarity([chelsea], TEXTS, { signal }), fails("ABORTED"));
      await assert.rejects(retrieving.match(chelsea, TEXTS, { signal }), fails("ABORTED"));
      assert.deepEqual(await similarity([], TEXTS), []);
      assert.deepEqual(await similarity([chelsea, astronaut], []), [[], []]);
    });

    it("of a picture that was looked at are those of the picture", async () => {
      using seen = await retrieving.encodeImage(chelsea);
      assertAlike(await retrieving.match(seen, TEXTS), await retrieving.match(chelsea, TEXTS));
      assertAlike(await retrieving.similarity([seen], TEXTS), await retrieving.similarity([chelsea], TEXTS));
    });
  });
});
