import assert from "node:assert/strict";
import { type GeneratedSequence, NeuronBlip } from "neuron-blip";
import { assertAlike, fixture } from "../helpers.js";

const model = fixture("parity/small-batch-2/model");
const [astronaut, chelsea, coffee] = ["astronaut.png", "chelsea.png", "coffee.png"].map((name) =>
  fixture(`pictures/${name}`),
) as [string, string, string];
const questions = ["what is it?", "dog?", "is there a boat near the river?", "how many?", "what color is the cup?"];

describe("sampling", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
  });
  after(() => blip.dispose());

  const draw = (seed: number, options: object = {}) =>
    blip.answer(chelsea, questions[0] as string, { doSample: true, topK: 0, seed, ...options });

  it("repeats its draws with the same seed, and draws others with another", async () => {
    const drawn = await draw(7);
    assert.deepEqual(await draw(7), drawn);
    const others = await Promise.all([8, 9, 10].map((seed) => draw(seed)));
    assert(others.every(({ tokenIds }) => tokenIds.join() !== drawn.tokenIds.join()));
  });

  it("draws anew each time without a seed", async () => {
    const texts = await Promise.all(Array.from({ length: 4 }, () => blip.answer(chelsea, "dog?", { doSample: true })));
    assert(new Set(texts.map(({ tokenIds }) => tokenIds.join())).size > 1);
  });

  it("draws the same for the first of a list as for it alone, and others for its repetitions", async () => {
    const options = { doSample: true, topK: 0, seed: 3 };
    const alone = await blip.answer(coffee, "dog?", options);
    const together = await blip.answer(coffee, ["dog?", "dog?", "dog?", "how many?"], options);
    assertAlike(together[0], alone);
    assert.equal(new Set(together.slice(0, 3).map(({ tokenIds }) => tokenIds.join())).size, 3);
  });

  it("draws by the place in the list, whatever the replicas, pictures held at once, and items that fail", async () => {
    const options = { doSample: true, topK: 0, maxNewTokens: 5, seed: 11 };
    const pictures = [astronaut, chelsea, coffee];
    const expected = await blip.answer(coffee, questions, options);
    await using two = await NeuronBlip.fromPretrained(model, { threads: 1, numModels: 2 });
    assertAlike(await two.answer(coffee, questions, options), expected);

    const many = Array.from({ length: 36 }, (_, i) => pictures[i % 3] as string);
    // Each time another Buffer, so that none is the picture before.
    const { readFile } = await import("node:fs/promises");
    const files = await Promise.all(many.map((path) => readFile(path)));
    const held = await blip.answer(
      files,
      many.map(() => "dog?"),
      options,
    );
    const atOnce = await blip.answer(
      await Promise.all(pictures.map((path) => blip.encodeImage(path))).then((seen) =>
        many.map((_, i) => seen[i % 3] as (typeof seen)[0]),
      ),
      many.map(() => "dog?"),
      options,
    );
    assertAlike(held, atOnce);

    const [first = "", second = "", ...others] = questions;
    const settled = await blip.answer(coffee, [first, "", ...others], { ...options, settled: true });
    assert.notEqual(second, "");
    for (const [i, outcome] of settled.entries()) {
      if (i === 1) assert.equal(outcome.status, "rejected");
      else assertAlike(outcome, { status: "fulfilled", value: expected[i] });
    }
  });

  it("returns numReturnSequences for each row, each drawn by itself", async () => {
    const { alternatives = [], ...first } = await draw(5, { numReturnSequences: 4 });
    const all = [first, ...alternatives];
    assert.equal(all.length, 4);
    assert(new Set(all.map(({ tokenIds }) => tokenIds.join())).size > 1);
    const rows = await blip.answer([chelsea, coffee], [questions[0] as string, "dog?"], {
      doSample: true,
      topK: 0,
      seed: 5,
      numReturnSequences: 3,
    });
    assert.deepEqual(
      rows.map(({ alternatives = [] }) => alternatives.length),
      [2, 2],
    );
  });

  it("takes the most likely token with topK 1, and as good as always at a low temperature", async () => {
    const { tokenIds } = await blip.answer(chelsea, "dog?");
    for (const options of [{ topK: 1 }, { temperature: 1e-3, topK: 0 }, { topP: 1e-6 }, { minP: 1 }]) {
      const drawn = await blip.answer(chelsea, "dog?", { doSample: true, seed: 1, ...options });
      assert.deepEqual(drawn.tokenIds, tokenIds, JSON.stringify(options));
    }
  });

  it("draws tokens as often as they are probable", async () => {
    const DRAWS = 600;
    for (const options of [{ topK: 0 }, { temperature: 0.7, topK: 20 }]) {
      const { scores, ...first } = await draw(2, { ...options, maxNewTokens: 1, outputScores: true });
      const probabilities = softmax(scores?.[0] as Float32Array);
      const { alternatives = [] } = await draw(21, { ...options, maxNewTokens: 1, numReturnSequences: DRAWS });
      assert.equal(first.tokenIds.length, 2);
      const drawn = (sequence: Pick<GeneratedSequence, "tokenIds">) => sequence.tokenIds[1] as number;
      const counts = new Map<number, number>();
      for (const sequence of alternatives) counts.set(drawn(sequence), (counts.get(drawn(sequence)) ?? 0) + 1);
      assert(
        [...counts.keys()].every((token) => (probabilities[token] as number) > 0),
        "a token was drawn that is not among those to draw from",
      );
      const { statistic, degrees } = chiSquare(probabilities, counts, alternatives.length);
      assert(degrees >= 8, `${degrees} degrees of freedom say little`);
      assert(statistic < criticalChiSquare(degrees), `chi-square ${statistic} with ${degrees} degrees of freedom`);
    }
  });
});

function softmax(scores: Float32Array): number[] {
  const weights = [...scores].map(Math.exp);
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

/** Pearson's statistic; what is expected less than five times is counted together. */
function chiSquare(probabilities: readonly number[], counts: ReadonlyMap<number, number>, draws: number) {
  let statistic = 0;
  let cells = 0;
  const rest = { expected: 0, found: 0 };
  const add = (expected: number, found: number) => {
    statistic += (found - expected) ** 2 / expected;
    cells++;
  };
  for (const [token, probability] of probabilities.entries()) {
    const [expected, found] = [probability * draws, counts.get(token) ?? 0];
    if (expected >= 5) {
      add(expected, found);
    } else {
      rest.expected += expected;
      rest.found += found;
    }
  }
  if (rest.expected >= 5) add(rest.expected, rest.found);
  return { statistic, degrees: cells - 1 };
}

/** What one in a thousand exceeds, by Wilson and Hilferty's approximation. */
function criticalChiSquare(degrees: number): number {
  const spread = 2 / (9 * degrees);
  return degrees * (1 - spread + 3.09 * Math.sqrt(spread)) ** 3;
}
