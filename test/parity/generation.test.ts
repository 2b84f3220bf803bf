import assert from "node:assert/strict";
import { BlipProcessor, NeuronBlipForQuestionAnswering, type Tensor } from "neuron-blip";
import {
  Comparison,
  type GenerationRun,
  idsTensor,
  optionsOf,
  parityCases,
  summaryOf,
  titleOf,
} from "./parity-cases.js";

/** What scripts/parity/generation_reference.py writes: a grid of settings, on batches padded to their longest question. */
interface Reference {
  versions: Record<string, string>;
  runs: (GenerationRun & { input_ids: number[][]; attention_mask: number[][] })[];
}

const comparisons: Comparison[] = [];

for (const parityCase of parityCases<Reference>("generations.json")) {
  const { model, images, reference } = parityCase;

  describe(`generation of ${titleOf(parityCase)}`, () => {
    let blip: NeuronBlipForQuestionAnswering;
    let embeds: Tensor[];
    before(async () => {
      blip = await NeuronBlipForQuestionAnswering.fromPretrained(model, { threads: 1 });
      const processor = await BlipProcessor.fromPretrained(model);
      embeds = await blip.encodeImages(await processor.processImages(images));
    });
    after(() => blip?.dispose());

    it("gives the same tokens and scores with every setting", async () => {
      const comparison = new Comparison();
      comparisons.push(comparison);
      for (const run of reference.runs) {
        const inputs = {
          imageEmbeds: run.images.map((image) => embeds[image] as Tensor),
          inputIds: idsTensor(run.input_ids),
          attentionMask: idsTensor(run.attention_mask),
        };
        // transformers' decoder attends to the padding of a batch.
        const generated = await blip.generate(inputs, { ...optionsOf(run.settings), questionMask: "ones" });
        comparison.add(run, generated);
      }
      comparison.assertEqual();
      assert(comparison.generations >= reference.runs.length);
    });
  });
}

after(() => console.log(`generation against transformers: ${summaryOf(comparisons)}`));
