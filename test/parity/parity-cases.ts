import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type GeneratedSequence, type GenerationConfig, Tensor } from "neuron-blip";
import { fixture } from "../helpers.js";

/**
 * Directories that scripts/parity/test-parity.mjs makes, each of one model: case.json names the compiled model and the pictures.
 * By default the committed ones; `npm run test:parity` makes new ones with the transformers that is installed.
 */
const cases = process.env.PARITY_CASES ?? fixture("parity");

/** One model, with what transformers makes of it. */
export interface ParityCase<Reference> {
  name: string;
  directory: string;
  /** The compiled model's directory. */
  model: string;
  /** Paths of the pictures that the reference speaks of by index. */
  images: string[];
  /** Where the tokenizer is, if not with the model. */
  tokenizer: string | undefined;
  reference: Reference;
}

interface Versions {
  versions: Record<string, string>;
}

/** The cases that have a reference of this file name. */
export function parityCases<Reference extends Versions>(file: string): ParityCase<Reference>[] {
  const names = readdirSync(cases).filter((name) => existsSync(join(cases, name, file)));
  assert(names.length > 0, `there are no cases with ${file} in ${cases}`);
  return names.sort().map((name) => {
    const directory = join(cases, name);
    const at = (path: string) => join(directory, path);
    const { model, images, tokenizer } = JSON.parse(readFileSync(at("case.json"), "utf8"));
    return {
      name,
      directory,
      model: at(model),
      images: images.map(at),
      tokenizer: tokenizer && at(tokenizer),
      reference: JSON.parse(readFileSync(at(file), "utf8")),
    };
  });
}

export function titleOf({ name, reference }: ParityCase<Versions>): string {
  return `${name}, against transformers ${reference.versions.transformers} on torch ${reference.versions.torch}`;
}

/** What transformers' `generate` was given and returned; rows of one length, padded on the right. */
export interface GenerationRun {
  settings: Record<string, unknown>;
  images: number[];
  /** `num_return_sequences` for each row. */
  sequences: number[][];
  /** null if greedy. */
  sequences_scores: number[] | null;
  transition_scores: number[][];
}

/** transformers' names of settings as this package's: both have the same, in another case. */
export function optionsOf(settings: Record<string, unknown>): GenerationConfig {
  const camelCase = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [camelCase(name), value]));
}

/** int64 [rows, length] */
export function idsTensor(rows: readonly (readonly number[])[]): Tensor<"int64"> {
  return Tensor.from(BigInt64Array.from(rows.flat().map(BigInt)), [rows.length, (rows[0] as number[]).length]);
}

/** Scores are sums in float32: those of the size of 1,000 cannot be nearer than this share of them. */
export const SCORE_TOLERANCE = 1e-4;

export function scoreDifference(own: number, expected: number): number {
  return Math.abs(own - expected) / Math.max(1, Math.abs(expected));
}

/** Counts what was compared, and keeps what was not equal. */
export class Comparison {
  /** Rows that were given. */
  generations = 0;
  sequences = 0;
  tokens = 0;
  /** The largest difference of a score. */
  farthest = 0;
  readonly mismatches: string[] = [];

  /** Compares the sequences of one run, row after row. */
  add({ settings, images, ...run }: GenerationRun, own: readonly GeneratedSequence[]): void {
    this.generations += images.length;
    const told = JSON.stringify(settings);
    if (own.length !== run.sequences.length) {
      this.mismatches.push(`${told}: ${own.length} sequences, not ${run.sequences.length}`);
      return;
    }
    for (const [i, expected] of run.sequences.entries()) {
      const { tokenIds, tokenLogProbabilities, sequenceScore } = own[i] as GeneratedSequence;
      this.sequences++;
      this.tokens += tokenLogProbabilities.length;
      if (tokenIds.join() !== expected.join()) {
        this.mismatches.push(`${told}, sequence ${i}: ${tokenIds.join(" ")}, not ${expected.join(" ")}`);
        continue;
      }
      const pairs = [
        ...(run.transition_scores[i] as number[]).map(
          (score, k) => [tokenLogProbabilities[k] as number, score] as const,
        ),
        ...(run.sequences_scores ? [[sequenceScore, run.sequences_scores[i] as number] as const] : []),
      ];
      const difference = Math.max(...pairs.map(([mine, theirs]) => scoreDifference(mine, theirs)));
      // Written so that NaN is a mismatch.
      if (!(difference <= SCORE_TOLERANCE))
        this.mismatches.push(`${told}, sequence ${i}: a score differs by ${difference}`);
      this.farthest = Math.max(this.farthest, difference);
    }
  }

  get summary(): string {
    return (
      `${this.generations} generations, ${this.sequences} sequences, ${this.tokens} tokens, ${this.mismatches.length} ` +
      `mismatches, scores within ${this.farthest.toExponential(1)}`
    );
  }

  assertEqual(): void {
    assert.equal(this.mismatches.length, 0, [this.summary, ...this.mismatches.slice(0, 5)].join("\n"));
  }
}

/** The sum of several comparisons. */
export function summaryOf(comparisons: readonly Comparison[]): string {
  const total = new Comparison();
  for (const one of comparisons) {
    total.generations += one.generations;
    total.sequences += one.sequences;
    total.tokens += one.tokens;
    total.farthest = Math.max(total.farthest, one.farthest);
    total.mismatches.push(...one.mismatches);
  }
  return total.summary;
}
