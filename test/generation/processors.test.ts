import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolveGenerationConfig } from "../../dist/generation/generation-config.js";
import { logitsProcessors } from "../../dist/generation/logits-processors.js";
import { samplingProcessors } from "../../dist/generation/sampling-processors.js";
import { fixture } from "../helpers.js";
import { optionsOf } from "../parity/parity-cases.js";

/** What scripts/fixtures/make_generation_goldens.py writes. */
interface Entry {
  settings: Record<string, unknown>;
  do_sample: boolean;
  prompt_length: number;
  max_length: number;
  eos_token_id: number;
  sequence: number[];
  logits: number[];
  /** null is minus infinity. */
  processed: (number | null)[];
  probabilities: number[];
}

/** Of scores (times the score, where that is above 1); they are written with seven digits. */
const TOLERANCE = 1e-6;

const { versions, entries } = JSON.parse(readFileSync(fixture("generation-goldens.json"), "utf8")) as {
  versions: Record<string, string>;
  entries: Entry[];
};

describe(`the processors of logits, against transformers ${versions.transformers}`, () => {
  for (const [i, entry] of entries.entries()) {
    // Beams that sample are not offered.
    if (entry.do_sample && "num_beams" in entry.settings) continue;
    const way = entry.do_sample ? "sampling" : "no sampling";
    it(`${i}: ${way}, ${JSON.stringify(entry.settings)}, ${entry.sequence.length} tokens`, () => check(entry));
  }
});

function check(entry: Entry): void {
  const config = resolveGenerationConfig(
    { ...optionsOf(entry.settings), doSample: entry.do_sample, maxLength: entry.max_length },
    {},
    { eosTokenId: entry.eos_token_id, vocabSize: entry.logits.length },
    entry.prompt_length,
    entry.max_length,
  );
  const processors = [...logitsProcessors(config), ...(entry.do_sample ? samplingProcessors(config) : [])];
  const scores = Float32Array.from(entry.logits);
  for (const process of processors) process(entry.sequence, scores);
  for (const [token, expected] of entry.processed.entries()) {
    const own = scores[token] as number;
    if (expected === null) assert.equal(own, Number.NEGATIVE_INFINITY, `token ${token} is not forbidden`);
    else isNear(own, expected, token);
  }
  const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
  for (const [token, expected] of entry.probabilities.entries()) {
    isNear(Math.exp(scores[token] as number) / sum, expected, token);
  }
}

function isNear(own: number, expected: number, token: number): void {
  const difference = Math.abs(own - expected);
  assert(difference <= TOLERANCE * Math.max(1, Math.abs(expected)), `token ${token}: ${own}, not ${expected}`);
}
