import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BertTokenizer, NeuronBlip } from "neuron-blip";
import { demo, demoModel, demoQuestions, fails, fixture } from "../helpers.ts";
import { makeTokenizerJson } from "./bert-vocabulary.ts";

interface Golden {
  pieces: [string, number][];
  count: number;
  first: number[];
  sha256: string;
}

const goldens: Golden[] = JSON.parse(readFileSync(fixture("tokenizer-goldens.json"), "utf8")).long;
const textOf = ({ pieces }: Golden) => pieces.map(([piece, times]) => piece.repeat(times)).join("");

describe("BertTokenizer, of long texts", () => {
  const tokenizer = new BertTokenizer(makeTokenizerJson());
  const [question] = ["how many dogs are in the picture?"];
  const questionIds = tokenizer.encode(question).ids;

  it("gives the tokens of BertTokenizerFast, wherever a text is taken apart", () => {
    assert(goldens.length >= 15);
    for (const golden of goldens) {
      const { ids } = tokenizer.encode(textOf(golden));
      assert.equal(ids.length, golden.count, JSON.stringify(golden.pieces));
      assert.deepEqual(ids.slice(0, 16), golden.first);
      assert.equal(createHash("sha256").update(JSON.stringify(ids)).digest("hex"), golden.sha256);
    }
  });

  it("gives the same tokens however much is dropped before them, at any place", () => {
    for (const dropped of [" ", "\u0301", "\u200b", "\u0000", "\n", "\ud800"]) {
      for (const count of [1, 1000, 1023, 1024, 1025, 2047, 2048, 5000]) {
        assert.deepEqual(tokenizer.encode(`${dropped.repeat(count)}${question}`, { maxLength: 10 }).ids, questionIds);
      }
    }
  });

  it("truncates and refuses a text by its tokens, not by its characters", () => {
    for (const golden of goldens) {
      const text = textOf(golden);
      const whole = tokenizer.encode(text).ids;
      for (const maxLength of [2, 3, 8, golden.count - 1].filter((length) => length >= 2 && length < golden.count)) {
        const { ids } = tokenizer.encode(text, { maxLength, truncation: true });
        assert.deepEqual(
          ids,
          [...whole.slice(0, maxLength - 1), 102],
          `${JSON.stringify(golden.pieces)} at ${maxLength}`,
        );
        assert.throws(() => tokenizer.encode(text, { maxLength }), fails("INPUT_TOO_LONG", /more than|\d tokens/));
      }
      assert.deepEqual(tokenizer.encode(text, { maxLength: golden.count }).ids, whole);
    }
  });

  it("says how many tokens a short text has, and of a long one that they are more", () => {
    assert.throws(() => tokenizer.encode("a ".repeat(20), { maxLength: 8 }), fails("INPUT_TOO_LONG", /has 22 tokens/));
    const long = "a ".repeat(1_000_000);
    assert.throws(() => tokenizer.encode(long, { maxLength: 8 }), fails("INPUT_TOO_LONG", /has more than 8 tokens/));
  });

  it("finds added tokens that stand alone, the longest of several, and those of the normalised text", () => {
    const json = makeTokenizerJson();
    const added = (id: number, content: string, flags: object) => ({
      id,
      content,
      special: false,
      normalized: false,
      ...flags,
    });
    const withTokens = (...tokens: object[]) => {
      return new BertTokenizer({ ...json, added_tokens: [...(json.added_tokens as object[]), ...tokens] });
    };
    const alone = withTokens(
      added(30522, "zeb", { single_word: true }),
      added(30523, "<<x", {}),
      added(30524, "<<xy", {}),
    );
    const inner = (text: string, of = alone) => of.encode(text).ids.slice(1, -1);
    assert.deepEqual(inner("zeb,"), [30522, 1010]);
    assert.deepEqual(inner("zebra"), inner("zebra", tokenizer));
    assert.deepEqual(inner("a<<xyb<<x"), [1037, 30524, 1038, 30523]);
    assert.deepEqual(inner("Foo BAR x", withTokens(added(30522, "foo bar", { normalized: true }))), [30522, 1060]);
  });
});

describe("NeuronBlip, of long texts", () => {
  const [asked] = demoQuestions as [(typeof demoQuestions)[number]];
  const spaces = " ".repeat(3_000_000);
  let blip: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(demoModel);
  });
  after(() => blip.dispose());

  /** How often others had their turn during a call. */
  async function turnsDuring(call: () => Promise<unknown>): Promise<number> {
    let turns = 0;
    let goesOn = true;
    const look = () => {
      turns++;
      if (goesOn) setImmediate(look);
    };
    setImmediate(look);
    try {
      await call();
    } finally {
      goesOn = false;
    }
    return turns;
  }

  it("answers a question that comes after megabytes of nothing, letting others go on meanwhile", async () => {
    const image = await blip.encodeImage(join(demo, asked.picture));
    const { tokenIds } = await blip.answer(image, asked.question);
    const turns = await turnsDuring(async () => {
      assert.deepEqual((await blip.answer(image, `${spaces}${asked.question}`)).tokenIds, tokenIds);
    });
    assert(turns >= 10, `${turns} turns`);
  });

  it("reads no more of a text than it needs", async () => {
    const image = await blip.encodeImage(join(demo, asked.picture));
    const long = `${asked.question} `.repeat(200_000);
    const { tokenIds } = await blip.answer(image, long.slice(0, 1000), { truncation: true });
    assert.deepEqual((await blip.answer(image, long, { truncation: true })).tokenIds, tokenIds);
    await assert.rejects(blip.answer(image, long), fails("INPUT_TOO_LONG", /more than 64 tokens/));
    await assert.rejects(blip.rank(image, asked.question, ["a", long]), fails("INPUT_TOO_LONG", /has room for 64/));
  });

  it("ends where its signal is aborted between two turns, and answers the next", async () => {
    for (const call of [
      (signal: AbortSignal) => blip.answer(asked.picture, spaces, { signal }),
      (signal: AbortSignal) => blip.answer(asked.picture, new Array<string>(300_000).fill("a dog"), { signal }),
      (signal: AbortSignal) => blip.rank(asked.picture, "what?", new Array<string>(300_000).fill("a dog"), { signal }),
    ]) {
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      await assert.rejects(call(controller.signal), fails("ABORTED"));
    }
    await blip.answer(join(demo, asked.picture), asked.question);
  });

  it("takes lists of 200,000 without holding the event loop, each text failing alone", async () => {
    const image = await blip.encodeImage(join(demo, asked.picture));
    const texts = new Array<string>(200_000).fill("");
    texts[199_999] = asked.question;
    let outcomes: PromiseSettledResult<{ answer: string }>[] = [];
    const turns = await turnsDuring(async () => {
      outcomes = await blip.answer(image, texts, { settled: true });
    });
    assert.equal(outcomes.length, 200_000);
    assert(outcomes.slice(0, -1).every(({ status }) => status === "rejected"));
    const last = outcomes.at(-1);
    assert(last?.status === "fulfilled" && last.value.answer === asked.answer);
    assert(turns >= 10, `${turns} turns`);
    const candidates = Array.from({ length: 200_000 }, (_, i) => (i % 2 === 0 ? "yes" : "no"));
    const ranked = await blip.rank(image, asked.question, candidates, { k: 4 });
    assert.equal(ranked.length, 200_000);
    // Those that are not scored: by their first tokens, equal ones in their order.
    const rest = ranked.slice(4);
    assert(
      rest.every(({ firstTokenProbability, index }, i) => {
        const before = rest[i - 1];
        if (before === undefined || before.firstTokenProbability > firstTokenProbability) return true;
        return before.firstTokenProbability === firstTokenProbability && before.index < index;
      }),
    );
  });
});
