import assert from "node:assert/strict";
import { type Caption, type Match, NeuronBlip } from "neuron-blip";
import { Comparison, type GenerationRun, optionsOf, parityCases, titleOf } from "./parity-cases.js";

/** What scripts/parity/heads_reference.py writes of a captioning model. */
interface Captions {
  versions: Record<string, string>;
  runs: (GenerationRun & { prompt: string | null; texts: string[] })[];
}

/** What scripts/parity/heads_reference.py writes of a retrieval model: by picture, then by text. */
interface Retrieval {
  versions: Record<string, string>;
  texts: string[];
  itm_logits: number[][][];
  match: number[][];
  similarity: number[][];
}

/** Of logits (times the largest, where that is above 1), probabilities and cosines. */
const TOLERANCE = 1e-5;

for (const parityCase of parityCases<Captions>("captions.json")) {
  describe(`captions of ${titleOf(parityCase)}`, () => {
    it("are the same, with the same tokens and scores, with and without a prompt", async () => {
      await using blip = await NeuronBlip.fromPretrained(parityCase.model, { threads: 1 });
      const comparison = new Comparison();
      for (const run of parityCase.reference.runs) {
        const pictures = run.images.map((image) => parityCase.images[image] as string);
        const options = { ...optionsOf(run.settings), ...(run.prompt !== null && { prompt: run.prompt }) };
        const captions = await blip.caption(pictures, options);
        const all = captions.flatMap((caption): Caption[] => [caption, ...(caption.alternatives ?? [])]);
        comparison.add(run, all);
        assert.deepEqual(
          all.map(({ caption }) => caption),
          run.texts,
        );
      }
      comparison.assertEqual();
      assert(comparison.generations > 0);
      console.log(`      ${comparison.summary}`);
    });
  });
}

for (const parityCase of parityCases<Retrieval>("retrieval.json")) {
  const { model, images, reference } = parityCase;

  describe(`matching of ${titleOf(parityCase)}`, () => {
    let blip: NeuronBlip;
    before(async () => {
      blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    });
    after(() => blip?.dispose());

    it("gives the matching head's logits and probability of every picture and text", async () => {
      for (const [i, image] of images.entries()) {
        const matches = await blip.match(image, reference.texts);
        assert.equal(matches.length, reference.texts.length);
        for (const [t, { score, logits }] of (matches as Match[]).entries()) {
          isNear(score, reference.match[i]?.[t]);
          isNear(logits[0], reference.itm_logits[i]?.[t]?.[0]);
          isNear(logits[1], reference.itm_logits[i]?.[t]?.[1]);
        }
      }
    });

    it("gives the cosines of all pictures and texts, and not all alike", async () => {
      const cosines = await blip.similarity(images, reference.texts);
      assert.deepEqual(
        cosines.map((row) => row.length),
        images.map(() => reference.texts.length),
      );
      for (const [i, row] of cosines.entries()) {
        for (const [t, cosine] of row.entries()) isNear(cosine, reference.similarity[i]?.[t]);
      }
      assert(Math.max(...cosines.flat()) - Math.min(...cosines.flat()) > 0.01);
    });
  });
}

function isNear(own: number, expected: number | undefined): void {
  assert(expected !== undefined);
  const difference = Math.abs(own - expected);
  assert(difference <= TOLERANCE * Math.max(1, Math.abs(expected)), `${own}, not ${expected}`);
}
