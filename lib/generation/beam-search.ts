import { itemAt } from "../util/item-at.js";
import { logSoftmax, noTokenLeft } from "./distribution.js";
import type { GeneratedSequence, Search } from "./generated-sequence.js";
import { hasEnded, type LogitsProcessor, type ResolvedGenerationConfig } from "./generation-config.js";
import { logitsProcessors } from "./logits-processors.js";

/** What transformers takes for minus infinity, added where a beam may not be chosen. */
const OUT_OF_REACH = -1e9;

interface Beam {
  readonly tokenIds: readonly number[];
  readonly logProbabilities: readonly number[];
  readonly scores: readonly Float32Array[];
  /** The sum of the log-probabilities, as float32. */
  readonly score: number;
}

/** A token that a beam could go on with, and the sum with it. */
interface Candidate {
  readonly beam: ScoredBeam;
  readonly token: number;
  readonly logProbability: number;
  readonly score: number;
}

/** A beam with the log-probabilities of its next token. */
interface ScoredBeam extends Beam {
  readonly nextScores: Float32Array;
}

/**
 * Beam search for one row, as transformers does it (`generation/utils.py`, `_beam_search`, since 4.50), in float32 where it
 * does, so that equal sums stay equal. Of equal ones the lower beam, then the lower token, comes first.
 *
 * At each step the 2 * numBeams best continuations are looked at. Those that end, among the best numBeams, compete for the
 * places of the finished ones, by their sum over their generated length to the power of lengthPenalty; the best numBeams of
 * the others go on.
 */
export class BeamSearch implements Search {
  readonly #config: ResolvedGenerationConfig;
  readonly #processors: readonly LogitsProcessor[];
  #running: readonly Beam[];
  /** Best first, with their final scores. */
  #finished: readonly Beam[] = [];
  #ended = false;

  constructor(prompt: readonly number[], config: ResolvedGenerationConfig) {
    this.#config = config;
    this.#processors = logitsProcessors(config);
    // All beams begin alike. Only the first may be continued, unless it cannot be continued in enough ways.
    const tokenIds = [...prompt];
    this.#running = Array.from({ length: config.numBeams }, (_, i) => {
      return { tokenIds, logProbabilities: [], scores: [], score: i === 0 ? 0 : OUT_OF_REACH };
    });
  }

  get live(): readonly (readonly number[])[] {
    return this.#ended ? [] : [...new Set(this.#running.map(({ tokenIds }) => tokenIds))];
  }

  advance(logits: readonly Float32Array[]): void {
    const { numBeams, lengthPenalty, promptLength, earlyStopping, maxLength } = this.#config;
    const { live } = this;
    for (const [i, tokenIds] of live.entries()) {
      const scores = itemAt(logits, i);
      logSoftmax(scores);
      for (const process of this.#processors) process(tokenIds, scores);
    }
    const beams = this.#running.map((beam) => {
      return { ...beam, nextScores: itemAt(logits, live.indexOf(beam.tokenIds)) };
    });
    const candidates = bestCandidates(beams, 2 * numBeams);
    if (candidates.length === 0 && this.#finished.length === 0) throw noTokenLeft();
    const continued = candidates.map((candidate) => this.#continue(candidate));
    const ends = continued.map(({ tokenIds }) => hasEnded(tokenIds, this.#config));

    const generated = itemAt(beams, 0).tokenIds.length + 1 - promptLength;
    const penalised = (score: number, length: number) => Math.fround(score / Math.fround(length ** lengthPenalty));
    const newlyFinished = continued
      .filter((_, i) => ends[i] && i < numBeams)
      .map((beam) => ({ ...beam, score: penalised(beam.score, generated) }));
    this.#finished = [...this.#finished, ...newlyFinished].sort(byScore).slice(0, numBeams);
    this.#running = continued.filter((_, i) => !ends[i]).slice(0, numBeams);

    const best = this.#running[0]?.score ?? Number.NEGATIVE_INFINITY;
    const hopedLength = earlyStopping === "never" && lengthPenalty > 0 ? maxLength - promptLength : generated;
    const full = this.#finished.length === numBeams;
    const worst = full ? itemAt(this.#finished, numBeams - 1).score : OUT_OF_REACH;
    const canImprove = penalised(best, hopedLength) > worst;
    this.#ended = this.#running.length === 0 || !canImprove || (full && earlyStopping === true);
  }

  get found(): readonly GeneratedSequence[] {
    const { numReturnSequences, outputScores } = this.#config;
    return this.#finished.slice(0, numReturnSequences).map(({ tokenIds, logProbabilities, score, scores }) => {
      const sumLogProbability = logProbabilities.reduce((sum, value) => sum + value, 0);
      return {
        tokenIds: [...tokenIds],
        tokenLogProbabilities: [...logProbabilities],
        sumLogProbability,
        meanLogProbability: sumLogProbability / Math.max(1, logProbabilities.length),
        sequenceScore: score,
        ...(outputScores && { scores: [...scores] }),
      };
    });
  }

  #continue({ beam, token, logProbability, score }: Candidate): Beam {
    const { tokenIds, logProbabilities, scores, nextScores } = beam;
    return {
      tokenIds: [...tokenIds, token],
      logProbabilities: [...logProbabilities, logProbability],
      scores: this.#config.outputScores ? [...scores, nextScores] : scores,
      score,
    };
  }
}

/** Returns the best continuations of all beams, the best first, without those that a processor forbids. */
function bestCandidates(beams: readonly ScoredBeam[], count: number): Candidate[] {
  const best: Candidate[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (const beam of beams) {
    const { nextScores, score: sum } = beam;
    for (let token = 0; token < nextScores.length; token++) {
      const logProbability = nextScores[token] ?? 0;
      const score = Math.fround(logProbability + sum);
      if (!(score > least)) continue;
      const worse = best.findIndex((other) => other.score < score);
      best.splice(worse < 0 ? best.length : worse, 0, { beam, token, logProbability, score });
      if (best.length > count) best.pop();
      if (best.length === count) least = best.at(-1)?.score ?? least;
    }
  }
  return best;
}

function byScore(one: Beam, other: Beam): number {
  return other.score - one.score;
}
