import assert from "node:assert/strict";
import { join } from "node:path";
import { BlipProcessor, type GeneratedSequence, NeuronBlipForQuestionAnswering, Tensor } from "neuron-blip";
import { optionsOf, parityCases, titleOf } from "./parity-cases.js";
import { readSafetensors } from "./safetensors.js";

/** Largest difference from transformers, times the largest value where that is above 1. */
const TOLERANCE = 1e-5;
/** The same in shares of what transformers' own float32 differs from its float64 by, where that allows more. */
const ROUNDINGS = 2;

/** What scripts/parity/parity_reference.py writes. */
interface Reference {
  versions: Record<string, string>;
  question_length: number;
  /** By how much float32 differs from float64, by the tensors' keys; not in older references. */
  rounding?: Record<string, number>;
  questions: { text: string; input_ids: number[]; truncated: boolean }[];
  generate: (Scored & {
    image: number;
    question: number;
    text: string;
    sequence: number[];
    token_log_probs: number[];
  })[];
  padded_generate: (Scored & { pairs: [number, number][]; sequences: number[][]; token_log_probs: number[][] })[];
}

interface Scored {
  settings: { max_new_tokens?: number; max_length?: number; min_length?: number };
}

for (const parityCase of parityCases<Reference>("reference.json")) {
  const { directory, model, images, tokenizer, reference } = parityCase;

  describe(titleOf(parityCase), () => {
    let blip: NeuronBlipForQuestionAnswering;
    let processor: BlipProcessor;
    let expected: Map<string, Tensor>;
    let pixelValues: Tensor[];
    before(async () => {
      blip = await NeuronBlipForQuestionAnswering.fromPretrained(model, { threads: 1 });
      processor = await BlipProcessor.fromPretrained(model, tokenizer === undefined ? {} : { tokenizer });
      expected = readSafetensors(join(directory, "reference.safetensors"));
      pixelValues = [];
      for (const image of images) pixelValues.push(await processor.processImages(image));
    });
    after(() => blip?.dispose());

    const tensor = (key: string) => {
      const found = expected.get(key);
      assert(found, `the reference lacks ${key}`);
      return found;
    };
    const isCloseTo = (key: string, own: Tensor, wanted = tensor(key), count?: number) =>
      isClose(own, wanted, ROUNDINGS * (reference.rounding?.[key] ?? 0), count);
    const batchSize = () => blip.shapes.batchSizes[0] as number;
    const padTo = (ids: Tensor) => repeat(ids, batchSize());

    it("prepares the same pixel values, to the bit", () => {
      for (const [i, pixels] of pixelValues.entries())
        assert.deepEqual(pixels.data, tensor(`image.${i}.pixel_values`).data);
    });

    it("makes the same tokens of the questions", () => {
      for (const [i, { text, input_ids, truncated }] of reference.questions.entries()) {
        if (truncated) continue;
        assert.deepEqual([...processor.processText(text).inputIds.data].map(Number), input_ids, `question ${i}`);
      }
    });

    it("sees the same in the pictures, and not the same in different ones", async () => {
      const seen: Tensor[] = [];
      for (const [i, pixels] of pixelValues.entries()) {
        const { lastHiddenState, poolerOutput } = await blip.visionModel.forward(padTo(pixels));
        isCloseTo(`image.${i}.last_hidden_state`, firstRow(lastHiddenState));
        isCloseTo(`image.${i}.pooler_output`, firstRow(poolerOutput));
        seen.push(lastHiddenState);
      }
      assert(difference(seen[0] as Tensor, seen[1] as Tensor) > 0.01, "the model does not look at the picture");
    });

    it("reads the questions alike, padded and not", async () => {
      for (const [key, embeds] of expected) {
        const [, image, question, what] = /^pair\.(\d+)\.(\d+)\.(padded_)?question_embeds$/.exec(key) ?? [];
        if (image === undefined || reference.questions[Number(question)]?.truncated) continue;
        const inputIds = padTo(tensor(`question.${question}.padded_input_ids`));
        const attentionMask = padTo(tensor(`question.${question}.attention_mask`));
        const imageEmbeds = padTo(tensor(`image.${image}.last_hidden_state`));
        const own = firstRow(await blip.textEncoder.forward(inputIds, attentionMask, imageEmbeds));
        // Unpadded, the reference has fewer rows: the first ones.
        const count = what
          ? (reference.questions[Number(question)]?.input_ids.length as number) * (own.shape[2] as number)
          : embeds.size;
        isCloseTo(key, own, embeds, Math.min(count, embeds.size));
      }
    });

    it("gives each next token the same logits", async () => {
      // The mask of a tutorial's decoder does nothing, so its padded questions answer otherwise: they are not padded.
      if (tokenizer !== undefined) return;
      for (const [key, logits] of expected) {
        const [, image, question] = /^pair\.(\d+)\.(\d+)\.logits$/.exec(key) ?? [];
        if (image === undefined || reference.questions[Number(question)]?.truncated) continue;
        const mask = padTo(tensor(`question.${question}.attention_mask`));
        const embeds = await blip.textEncoder.forward(
          padTo(tensor(`question.${question}.padded_input_ids`)),
          mask,
          padTo(tensor(`image.${image}.last_hidden_state`)),
        );
        const ids = [...tensor(`pair.${image}.${question}.answer_ids`).data].map(Number);
        const [, steps, vocabulary] = logits.shape as [number, number, number];
        for (let step = 0; step < Math.min(steps, blip.shapes.answerLength); step++) {
          const prefix = Array.from({ length: batchSize() }, () => ids.slice(0, step + 1));
          const own = await blip.textDecoder.forward(blip.textDecoder.prepareInputsForGeneration(prefix), embeds, mask);
          const row = logits.data.subarray(step * vocabulary, (step + 1) * vocabulary) as Float32Array;
          isCloseTo(key, firstRow(own), Tensor.view(row, [1, 1, vocabulary]));
        }
      }
    });

    it("generates the same tokens with the same scores, one by one", async () => {
      let compared = 0;
      for (const { image, question, settings, sequence, token_log_probs } of reference.generate) {
        if (reference.questions[question]?.truncated) continue;
        const text = processor.processText((reference.questions[question] as { text: string }).text);
        const generated = await blip.generate(
          { pixelValues: pixelValues[image] as Tensor, ...text },
          optionsOf(settings),
        );
        assert.equal(generated.length, 1);
        isSame(generated[0] as GeneratedSequence, sequence, token_log_probs);
        compared++;
      }
      assert(compared > 0);
    });

    it("generates the same in any batch, whatever the questions' lengths", async () => {
      const allSettings = new Map(reference.generate.map(({ settings }) => [JSON.stringify(settings), settings]));
      for (const settings of allSettings.values()) {
        const wanted = reference.generate.filter(
          (entry) =>
            JSON.stringify(entry.settings) === JSON.stringify(settings) &&
            !reference.questions[entry.question]?.truncated,
        );
        const text = processor.processText(
          wanted.map(({ question }) => (reference.questions[question] as { text: string }).text),
        );
        const pictures = stack(wanted.map(({ image }) => pixelValues[image] as Tensor));
        const generated = await blip.generate({ pixelValues: pictures, ...text }, optionsOf(settings));
        assert.equal(generated.length, wanted.length);
        for (const [i, { sequence, token_log_probs }] of wanted.entries()) {
          isSame(generated[i] as GeneratedSequence, sequence, token_log_probs);
        }
      }
    });

    it("generates what transformers does for a padded batch, where the mask is of ones", async () => {
      for (const { settings, pairs, sequences, token_log_probs } of reference.padded_generate) {
        const inputIds = stack(pairs.map(([, question]) => tensor(`question.${question}.padded_input_ids`)));
        const attentionMask = stack(pairs.map(([, question]) => tensor(`question.${question}.attention_mask`)));
        const pictures = stack(pairs.map(([image]) => pixelValues[image] as Tensor));
        const options = { ...optionsOf(settings), questionMask: "ones" as const };
        const generated = await blip.generate({ pixelValues: pictures, inputIds, attentionMask }, options);
        for (const [i, sequence] of sequences.entries()) {
          const scores = token_log_probs[i] as number[];
          isSame(generated[i] as GeneratedSequence, sequence.slice(0, scores.length + 1), scores);
        }
      }
    });
  });
}

function isSame(generated: GeneratedSequence, tokenIds: number[], logProbabilities: number[]): void {
  assert.deepEqual(generated.tokenIds, tokenIds);
  assert.equal(generated.tokenLogProbabilities.length, logProbabilities.length);
  for (const [i, value] of logProbabilities.entries()) {
    const own = generated.tokenLogProbabilities[i] as number;
    assert(Math.abs(own - value) < 1e-4, `token ${i}: log-probability ${own}, not ${value}`);
  }
}

/** Compares the first `count` elements, by default all. */
function isClose(own: Tensor, expected: Tensor, rounding: number, count = expected.size): void {
  if (count === expected.size && own.size === expected.size) assert.deepEqual(own.shape, expected.shape);
  let scale = 1;
  for (const value of expected.data) scale = Math.max(scale, Math.abs(Number(value)));
  const off = difference(own, expected, count);
  assert(
    off <= Math.max(TOLERANCE * scale, rounding),
    `differs by ${off}, values up to ${scale}, rounding ${rounding}`,
  );
}

function difference(one: Tensor, other: Tensor, count = one.size): number {
  let most = 0;
  for (let i = 0; i < count; i++) most = Math.max(most, Math.abs(Number(one.data[i]) - Number(other.data[i])));
  return most;
}

function firstRow(tensor: Tensor): Tensor {
  const rest = tensor.shape.slice(1);
  const size = rest.reduce((product, length) => product * length, 1);
  return Tensor.view(tensor.data.subarray(0, size), [1, ...rest], tensor.dtype);
}

/** One tensor [n, …] of tensors [1, …]. */
function stack(rows: readonly Tensor[]): Tensor {
  const [first] = rows as [Tensor];
  const stacked = Tensor.zeros(first.dtype, [rows.length, ...first.shape.slice(1)]);
  for (const [i, row] of rows.entries()) (stacked.data as Float32Array).set(row.data as Float32Array, i * first.size);
  return stacked;
}

function repeat(row: Tensor, count: number): Tensor {
  return stack(Array.from({ length: count }, () => row));
}
