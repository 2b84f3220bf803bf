import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { JumpableRandomGenerator } from "pure-rand/types/JumpableRandomGenerator";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { draw, logProbabilityOf, mostLikely } from "./distribution.js";
import { type GeneratedSequence, generatedSequence, hasEnded, type Search } from "./generated-sequence.js";
import type { LogitsProcessor, ResolvedGenerationConfig } from "./generation-config.js";
import { logitsProcessors } from "./logits-processors.js";
import { samplingProcessors } from "./sampling-processors.js";

/**
 * One sequence, token by token, as transformers does it (`generation/utils.py`, `_sample`): greedily the token of the highest
 * processed score, the lowest id among equals; with `doSample` one drawn by the processed probabilities.
 */
export class TokenSearch implements Search {
  readonly #config: ResolvedGenerationConfig;
  readonly #processors: readonly LogitsProcessor[];
  readonly #random: RandomGenerator | undefined;
  readonly #tokenIds: number[];
  readonly #logProbabilities: number[] = [];
  readonly #scores: Float32Array[] = [];
  #ended = false;

  /** @param stream which of the independent streams of the configuration's seed to draw from. */
  constructor(prompt: readonly number[], config: ResolvedGenerationConfig, stream: number) {
    this.#config = config;
    this.#tokenIds = [...prompt];
    this.#processors = [...logitsProcessors(config), ...(config.doSample ? samplingProcessors(config) : [])];
    if (config.doSample) this.#random = randomStream(config.seed, stream);
  }

  get live(): readonly (readonly number[])[] {
    return this.#ended ? [] : [this.#tokenIds];
  }

  /** The token that was chosen last. */
  get newestToken(): number {
    return this.#tokenIds.at(-1) as number;
  }

  advance([scores]: readonly [Float32Array]): void {
    for (const process of this.#processors) process(this.#tokenIds, scores);
    const token = this.#random ? draw(scores, uniformFloat64(this.#random)) : mostLikely(scores);
    if (this.#config.outputScores) this.#scores.push(Float32Array.from(scores));
    this.accept(token, logProbabilityOf(scores, token));
  }

  /** Takes the next token as chosen. @param logProbability its natural logarithm. */
  accept(token: number, logProbability: number): void {
    this.#logProbabilities.push(logProbability);
    this.#tokenIds.push(token);
    this.#ended = hasEnded(this.#tokenIds, this.#config);
  }

  results(): GeneratedSequence[] {
    const scores = this.#config.outputScores ? this.#scores : undefined;
    return [generatedSequence(this.#tokenIds, this.#logProbabilities, undefined, scores)];
  }
}

/**
 * Whether a configuration asks for no more than the most likely token at every step, so that a model can choose it by itself:
 * no draws, beams, processors, criteria of the user's, or scores of all tokens.
 */
export function isPlainGreedy(config: ResolvedGenerationConfig): boolean {
  const { numBeams, doSample, outputScores, stoppingCriteria } = config;
  const choosesAlone = numBeams === 1 && !doSample && !outputScores && stoppingCriteria.length === 0;
  return choosesAlone && logitsProcessors(config).length === 0;
}

/** The beginning of the stream that was asked for last: a list's rows ask in order, and each is one jump further. */
let last: { seed: number; stream: number; random: JumpableRandomGenerator } | undefined;

/** Streams of one seed are 2^64 draws apart. The first is skipped: it shows the seed's bits. */
function randomStream(seed: number, stream: number): RandomGenerator {
  if (last === undefined || last.seed !== seed || last.stream > stream) {
    last = { seed, stream: -1, random: xoroshiro128plus(seed) };
  }
  for (; last.stream < stream; last.stream++) last.random.jump();
  return last.random.clone();
}
