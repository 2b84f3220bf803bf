import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { JumpableRandomGenerator } from "pure-rand/types/JumpableRandomGenerator";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { BeamSearch } from "./beam-search.js";
import { draw, logSumExp, mostLikely } from "./distribution.js";
import type { GeneratedSequence, Search } from "./generated-sequence.js";
import { hasEnded, type ResolvedGenerationConfig } from "./generation-config.js";
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

/** Gives the logits of the next token after each sequence, in order, in memory that the caller may overwrite. */
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
  const searches = rows.map(({ prompt, config, place }, row): Search[] => {
    if (config.numBeams > 1) return [new BeamSearch(prompt, config)];
    const count = config.numReturnSequences;
    return Array.from({ length: count }, (_, i) => tokenSearch(prompt, config, (place ?? row) * count + i));
  });
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
    streamer?.put(searches[0]?.[0]?.found[0]?.tokenIds.slice(-1) ?? []);
  }
  streamer?.end();
  return searches.map((ofRow) => ofRow.flatMap(({ found }) => found));
}

/**
 * Searches one sequence, token by token, as transformers does it (`generation/utils.py`, `_sample`): greedily the token of the highest
 * processed score, the lowest id among equals; with `doSample` one drawn by the processed probabilities.
 * @param stream which of the independent streams of the configuration's seed to draw from.
 */
function tokenSearch(prompt: readonly number[], config: ResolvedGenerationConfig, stream: number): Search {
  const processors = [...logitsProcessors(config), ...(config.doSample ? samplingProcessors(config) : [])];
  const random = config.doSample ? randomStream(config.seed, stream) : undefined;
  const tokenIds = [...prompt];
  const tokenLogProbabilities: number[] = [];
  const sums = { sumLogProbability: 0, meanLogProbability: 0, sequenceScore: 0 };
  const kept: Float32Array[] | undefined = config.outputScores ? [] : undefined;
  const sequence: GeneratedSequence = { tokenIds, tokenLogProbabilities, ...sums, ...(kept && { scores: kept }) };
  const search = {
    live: [tokenIds],
    found: [sequence],
    advance: ([scores]: readonly [Float32Array]) => {
      for (const process of processors) process(tokenIds, scores);
      const sum = logSumExp(scores);
      const token = random ? draw(scores, sum, uniformFloat64(random)) : mostLikely(scores);
      const logProbability = (scores[token] ?? Number.NaN) - sum;
      tokenIds.push(token);
      tokenLogProbabilities.push(logProbability);
      kept?.push(Float32Array.from(scores));
      sequence.sumLogProbability += logProbability;
      sequence.meanLogProbability = sequence.sumLogProbability / tokenLogProbabilities.length;
      sequence.sequenceScore = sequence.sumLogProbability;
      if (hasEnded(tokenIds, config)) search.live = [];
    },
  };
  return search;
}

/** The beginning of the stream that was asked for last: a list's rows ask in order, and each is one jump further. */
let last: { seed: number; stream: number; random: JumpableRandomGenerator } | undefined;

/** Makes a stream of random numbers. Streams of one seed are 2^64 draws apart. The first is skipped: it shows the seed's bits. */
function randomStream(seed: number, stream: number): RandomGenerator {
  if (last === undefined || last.seed !== seed || last.stream > stream) {
    last = { seed, stream: -1, random: xoroshiro128plus(seed) };
  }
  for (; last.stream < stream; last.stream++) last.random.jump();
  return last.random.clone();
}
