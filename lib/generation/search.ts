import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { BeamSearch } from "./beam-search.js";
import type { GeneratedSequence, Search } from "./generated-sequence.js";
import type { ResolvedGenerationConfig } from "./generation-config.js";
import type { Streamer } from "./text-streamer.js";
import { TokenSearch } from "./token-search.js";

/** How long the event loop waits, in ms, while the tokens of many rows are chosen: some ms for each row of beams. */
const LONGEST_TURN_MS = 10;

/** A sequence of one row of the input. */
export interface RowSequence {
  row: number;
  tokenIds: readonly number[];
}

/** The logits of the next token after each sequence, in order, in memory that the caller may overwrite. */
export type NextTokenLogits = (sequences: readonly RowSequence[]) => Promise<Float32Array[]>;

/** Generated tokens that need no choosing, each with the natural logarithm of its probability. */
export interface BegunSequence {
  tokenIds: readonly number[];
  tokenLogProbabilities: readonly number[];
}

/** What to generate for one row. */
export interface GenerationRow {
  prompt: readonly number[];
  config: ResolvedGenerationConfig;
  /** What follows the prompt already, where the model chose it greedily by itself. */
  begun?: BegunSequence | undefined;
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
  for (const [row, { begun }] of rows.entries()) {
    const [search] = searches[row] ?? [];
    if (begun && search instanceof TokenSearch) goOn(search, begun, streamer);
  }
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

/** Takes up tokens that were chosen already, as many as the search has room for. */
function goOn(search: TokenSearch, { tokenIds, tokenLogProbabilities }: BegunSequence, streamer?: Streamer): void {
  for (const [i, token] of tokenIds.entries()) {
    if (search.live.length === 0) return;
    search.accept(token, tokenLogProbabilities[i] as number);
    streamer?.put([token]);
  }
}

/** One beam search, or a search of its own for each sequence to return. */
function searchesOf({ prompt, config, place }: GenerationRow, row: number): Search[] {
  if (config.numBeams > 1) return [new BeamSearch(prompt, config)];
  const count = config.numReturnSequences;
  return Array.from({ length: count }, (_, i) => new TokenSearch(prompt, config, (place ?? row) * count + i));
}
