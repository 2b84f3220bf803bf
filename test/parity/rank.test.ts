import assert from "node:assert/strict";
import { NeuronBlip } from "neuron-blip";
import { parityCases, SCORE_TOLERANCE, scoreDifference, titleOf } from "./parity-cases.js";

/** What scripts/parity/generation_reference.py writes of ranking, after Salesforce's `rank_answer`. */
interface Reference {
  versions: Record<string, string>;
  questions: string[];
  candidates: string[];
  runs: {
    image: number;
    question: number;
    k: number;
    label_smoothing: number;
    first_token_probs: number[];
    kept: number[];
    losses: number[];
    order: number[];
    probabilities: number[];
  }[];
}

/** Answers whose losses differ by no more may come in either order. */
const TIE = 1e-6;

for (const parityCase of parityCases<Reference>("rank.json")) {
  const { model, images, reference } = parityCase;

  describe(`ranking of ${titleOf(parityCase)}`, () => {
    let blip: NeuronBlip;
    before(async () => {
      blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    });
    after(() => blip?.dispose());

    it("orders given answers alike, with the same probabilities and likelihoods", async () => {
      assert(reference.runs.length > 0);
      const { questions, candidates } = reference;
      for (const [image, path] of images.entries()) {
        using picture = await blip.encodeImage(path);
        for (const run of reference.runs.filter((run) => run.image === image)) {
          const options = { k: run.k, labelSmoothing: run.label_smoothing };
          const ranked = await blip.rank(picture, questions[run.question] as string, candidates, options);
          assert.equal(ranked.length, candidates.length);
          const scored = ranked.slice(0, run.kept.length);
          assert.deepEqual(new Set(scored.map(({ index }) => index)), new Set(run.order));
          const loss = (index: number | undefined) => run.losses[run.kept.indexOf(index ?? -1)] ?? Number.NaN;
          for (const [i, { index }] of scored.entries()) {
            const tie = Math.abs(loss(index) - loss(run.order[i])) <= TIE;
            assert(index === run.order[i] || tie, `place ${i}: ${index}, not ${run.order[i]}`);
          }
          for (const [i, { index, answer, probability, logLikelihood }] of scored.entries()) {
            assert.equal(answer, candidates[index]);
            isNear(probability, run.probabilities[i]);
            isNear(logLikelihood, -loss(index));
          }
          for (const { probability, logLikelihood } of ranked.slice(run.kept.length)) {
            assert.equal(probability, 0);
            assert.equal(logLikelihood, Number.NEGATIVE_INFINITY);
          }
          for (const { index, firstTokenProbability } of ranked) {
            isNear(firstTokenProbability, run.first_token_probs[index]);
          }
        }
      }
    });
  });
}

function isNear(own: number, expected: number | undefined): void {
  const difference = scoreDifference(own, expected ?? Number.NaN);
  assert(difference <= SCORE_TOLERANCE, `${own}, not ${expected}`);
}
