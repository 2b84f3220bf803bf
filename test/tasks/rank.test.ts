import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip, type RankAnswerOptions } from "neuron-blip";
import { demo, demoModel, demoQuestions, fails, fixture } from "../helpers.js";

const model = fixture("parity/small-batch-2/model");
const picture = fixture("pictures/chelsea.png");
const question = "what color is the cup?";
const candidates = ["red", "red car", "yes", "no", "red", "a woman in a boat"];

describe("ranking", () => {
  let blip: NeuronBlip;
  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
  });
  after(() => blip.dispose());

  it("finds the demo model's right answers among others", async () => {
    await using demoBlip = await NeuronBlip.fromPretrained(demoModel, { threads: 1 });
    const answers = [...new Set(demoQuestions.map(({ answer }) => answer))];
    for (const { picture, question, answer } of demoQuestions.slice(0, 8)) {
      const [best] = await demoBlip.rank(join(demo, picture), question, answers, { labelSmoothing: 0 });
      assert.equal(best?.answer, answer, `${picture}: ${question}`);
    }
  });

  it("returns every candidate once, the best first, with probabilities that add up to 1", async () => {
    const ranked = await blip.rank(picture, question, candidates);
    assert.deepEqual(
      ranked.map(({ index }) => index).sort(),
      candidates.map((_, i) => i),
    );
    for (const { answer, index } of ranked) assert.equal(answer, candidates[index]);
    const probabilities = ranked.map(({ probability }) => probability);
    assert.deepEqual(
      [...probabilities].sort((a, b) => b - a),
      probabilities,
    );
    assert(Math.abs(probabilities.reduce((sum, value) => sum + value) - 1) < 1e-9);
    const [first, second] = ranked.filter(({ answer }) => answer === "red");
    assert.equal(first?.logLikelihood, second?.logLikelihood, "equal candidates are as likely");
  });

  it("without label smoothing gives the log-probability of generating just the candidate", async () => {
    const candidate = "red car";
    const target = [...blip.processor.processText(candidate).inputIds.data].map(Number);
    let sum = 0;
    // Leads the generation along the candidate, and adds up what the model makes of it.
    const follow = (sequence: readonly number[], scores: Float32Array) => {
      const next = target[sequence.length] as number;
      sum += (scores[next] as number) - Math.log(scores.reduce((total, score) => total + Math.exp(score), 0));
      scores.fill(Number.NEGATIVE_INFINITY);
      scores[next] = 0;
    };
    const { answer } = await blip.answer(picture, question, { logitsProcessors: [follow] });
    assert.equal(answer, candidate);
    const ranked = await blip.rank(picture, question, ["yes", candidate, "no"], { labelSmoothing: 0 });
    const { logLikelihood = 0 } = ranked.find(({ index }) => index === 1) ?? {};
    assert(Math.abs(logLikelihood - sum) < 1e-4, `${logLikelihood}, not ${sum}`);
    const smoothed = await blip.rank(picture, question, ["yes", candidate, "no"]);
    assert.notEqual(smoothed.find(({ index }) => index === 1)?.logLikelihood, logLikelihood);
  });

  it("scores only the k whose first tokens are most probable", async () => {
    const all = await blip.rank(picture, question, candidates);
    const ranked = await blip.rank(picture, question, candidates, { k: 2 });
    assert.equal(ranked.length, candidates.length);
    const best = [...all].sort((a, b) => b.firstTokenProbability - a.firstTokenProbability || a.index - b.index);
    assert.deepEqual(
      ranked
        .slice(0, 2)
        .map(({ index }) => index)
        .sort(),
      best
        .slice(0, 2)
        .map(({ index }) => index)
        .sort(),
    );
    for (const { probability, logLikelihood } of ranked.slice(2)) {
      assert.equal(probability, 0);
      assert.equal(logLikelihood, Number.NEGATIVE_INFINITY);
    }
  });

  it("ranks alike with and without the part that --rank makes, and says which it uses", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-"));
    try {
      cpSync(model, directory, { recursive: true });
      const path = join(directory, "neuron_blip.json");
      const manifest = JSON.parse(readFileSync(path, "utf8"));
      delete manifest.parts.text_decoder_all_positions;
      writeFileSync(path, JSON.stringify(manifest));
      rmSync(join(directory, "text_decoder_all_positions.pt"));
      await using stepwise = await NeuronBlip.fromPretrained(directory, { threads: 1 });
      assert.equal(stepwise.rankingPart, "text_decoder");
      assert.equal(blip.rankingPart, "text_decoder_all_positions");
      const [one, other] = await Promise.all([stepwise, blip].map((each) => each.rank(picture, question, candidates)));
      for (const [i, { index, logLikelihood }] of (one ?? []).entries()) {
        assert.equal(other?.[i]?.index, index);
        assert(Math.abs(logLikelihood - (other?.[i]?.logLikelihood as number)) < 1e-4);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("refuses wrong candidates and options, and ranks the next", async () => {
    const rank = (list: unknown, options: object = {}) =>
      blip.rank(picture, question, list as string[], options as RankAnswerOptions);
    for (const list of [[], "yes", undefined, [5], [""], ["yes", null]]) {
      await assert.rejects(async () => rank(list), fails("INVALID_INPUT"), JSON.stringify(list));
    }
    const long = Array.from({ length: 30 }, () => "cat").join(" ");
    await assert.rejects(rank([long]), fails("INPUT_TOO_LONG", /--answer-length/));
    for (const k of [0, -1, 1.5, "3"]) await assert.rejects(rank(candidates, { k }), fails("INVALID_INPUT", /^k must/));
    for (const labelSmoothing of [-0.1, 1.1, Number.NaN]) {
      await assert.rejects(rank(candidates, { labelSmoothing }), fails("INVALID_INPUT", /labelSmoothing must/));
    }
    await assert.rejects(rank(candidates, { numBeams: 3 }), fails("INVALID_INPUT", /no option "numBeams"/));
    await assert.rejects(rank(candidates, { signal: AbortSignal.abort() }), fails("ABORTED"));
    await assert.rejects(blip.rank("none.png", question, candidates), fails("INVALID_IMAGE"));
    await assert.rejects(blip.rank(picture, "", candidates), fails("INVALID_INPUT", /no words/));
    assert.equal((await rank(candidates)).length, candidates.length);
  });
});
