import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { JumpableRandomGenerator } from "pure-rand/types/JumpableRandomGenerator";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { BeamSearch } from "./beam-search.js";
import { draw, logSumExp, mostLikely } from "./distribution.js";
import { type GeneratedSequence, generatedSequence, hasEnded, type Search } from "./generated-sequence.js";
import type { LogitsProcessor, ResolvedGenerationConfig } from "./generation-config.js";
import { logitsProcessors } from "./logits-processors.js";
import { samplingProcessors } from "./sampling-processors.js";
import type { Streamer } from "./text-streamer.js";

/** How long the event loop waits, in ms, while the tokens of many rows are chosen: some ms for each row of beams. */
const LONGEST_TURN_MS = 10;

/** A sequence of one row of the input. */
export interface RowSequence {
  row: number;
  tokenIds: readonly number[];
}

/** The logits of the next token after each sequence, in order, in memory that the caller may overwrite. */
export type NextTokenLogits = (sequences: readonly RowSequence[]) => Promise<Float32Array[]>;

/** What to generate for one row. */
export interface GenerationRow {
  prompt: readonly number[];
  config: ResolvedGenerationConfig;
  /** Its place in the list that it belongs to, by which it draws from a stream of its own. Default: its place here. */
  place?: number | undefined;
}

/**
 * Generates for several rows side by side: at each step the logits of all their live sequences are asked for at once.
 * @returns for each row its sequences, the best first: `numReturnSequences`, or fewer where the processors allow fewer.
 * @param streamer told the tokens of the one row.
 * @throws NeuronBlipError `ABORTED`, between two steps; `EXECUTION_FAILED` where the model gives no number, or processors
 * leave no token.
 */
export async function generate(
  rows: readonly GenerationRow[],
  nextTokenLogits: NextTokenLogits,
  { signal, streamer }: { signal?: AbortSignal | undefined; streamer?: Streamer | undefined } = {},
): Promise<GeneratedSequence[][]> {
  if (streamer && rows.length !== 1) {
    throw new NeuronBlipError("INVALID_INPUT", `A streamer takes one sequence, and ${rows.length} were asked for.`);
  }
  streamer?.put(rows[0]?.prompt ?? []);
  const searches = rows.map(searchesOf);
  const all = searches.flatMap((ofRow, row) => ofRow.map((search) => ({ row, search })));
  for (;;) {
    throwIfAborted(signal);
    const wanted = all.flatMap(({ row, search }) => search.live.map((tokenIds) => ({ row, tokenIds })));
    if (wanted.length === 0) break;
    const logits = await nextTokenLogits(wanted);
    let at = 0;
    let turnBegan = performance.now();
    for (const { search } of all) {
      const count = search.live.length;
      if (count > 0) search.advance(logits.slice(at, at + count));
      at += count;
      if (performance.now() - turnBegan > LONGEST_TURN_MS) {
        await nextTurn();
        turnBegan = performance.now();
      }
    }
    const [first] = all;
    if (streamer && first?.search instanceof TokenSearch) streamer.put([first.search.newestToken]);
  }
  streamer?.end();
  return searches.map((ofRow) => ofRow.flatMap((search) => search.results()));
}

/** One beam search, or a search of its own for each sequence to return. */
function searchesOf({ prompt, config, place }: GenerationRow, row: number): Search[] {
  if (config.numBeams > 1) return [new BeamSearch(prompt, config)];
  const count = config.numReturnSequences;
  return Array.from({ length: count }, (_, i) => new TokenSearch(prompt, config, (place ?? row) * count + i));
}

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
    this.#logProbabilities.push((scores[token] ?? Number.NaN) - logSumExp(scores));
    this.#tokenIds.push(token);
    this.#ended = hasEnded(this.#tokenIds, this.#config);
  }

  results(): GeneratedSequence[] {
    const scores = this.#config.outputScores ? this.#scores : undefined;
    return [generatedSequence(this.#tokenIds, this.#logProbabilities, undefined, scores)];
  }
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
