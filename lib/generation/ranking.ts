/** Ranking given answers by likelihood: `rank_answer` of salesforce/BLIP (`models/blip_vqa.py`), on token sequences. */

import { itemAt } from "../util/item-at.js";
import { inTurns, isTurnOver, mapSteps, nextTurn, sortSteps } from "../util/turns.js";
import { logSumExp } from "./distribution.js";
import type { NextTokenLogits } from "./search.js";

/** A candidate with what the model makes of it. */
export interface RankedSequence {
  /** Its index among the candidates. */
  index: number;
  /** Its share among the candidates that were scored; 0 for those that were not. They add up to 1. */
  probability: number;
  /**
   * The sum of its tokens' log-probabilities, smoothed by `labelSmoothing`; minus infinity where its first token kept it
   * from being scored.
   */
  logLikelihood: number;
  /** The probability that an answer begins with its first token. */
  firstTokenProbability: number;
}

export interface RankingConfig {
  /** How many candidates to score: those with the most probable first tokens. Default 128, as the original. */
  k?: number;
  /** Weight, from 0 to 1, of a uniform target besides the candidate's token. Default 0.1, as the original; 0 gives its likelihood. */
  labelSmoothing?: number;
}

/** Gives the logits after each token of each sequence but the last: one call of `use` for each, awaited before the next. */
export type LogitsOfSequences = (
  sequences: readonly (readonly number[])[],
  use: (sequence: number, position: number, logits: Float32Array) => Promise<void>,
) => Promise<void>;

/**
 * Ranks candidates: the k most probable by their first tokens are scored whole.
 * @param candidates token ids, each from the decoder's start token to the end-of-sequence token.
 * @param firstLogits the logits after the start token.
 * @param toResult makes the result of a candidate.
 * @returns the results of all candidates, the best first.
 */
export async function rankSequences<T>(
  candidates: readonly (readonly number[])[],
  firstLogits: Float32Array,
  logitsOf: LogitsOfSequences,
  { k = 128, labelSmoothing = 0.1 }: RankingConfig,
  toResult: (ranked: RankedSequence) => T,
): Promise<T[]> {
  const sum = logSumExp(firstLogits);
  // Numbers until the end, where each result is made once: the garbage collector holds the event loop while it moves many objects.
  const firstTokenProbabilities = new Float64Array(candidates.length);
  const unsorted = await inTurns(
    mapSteps(candidates, (tokenIds, index) => {
      firstTokenProbabilities[index] = Math.exp(itemAt(firstLogits, itemAt(tokenIds, 1)) - sum);
      return index;
    }),
  );
  const firstTokenProbability = (index: number) => firstTokenProbabilities[index] ?? 0;
  const byFirstToken = await inTurns(
    sortSteps(unsorted, (one, other) => firstTokenProbability(other) - firstTokenProbability(one) || one - other),
  );

  const scored = byFirstToken.slice(0, k);
  const sequences = scored.map((index) => itemAt(candidates, index));
  const likelihoods = new Float64Array(scored.length);
  const likelihood = (sequence: number) => likelihoods[sequence] ?? 0;
  await logitsOf(sequences, async (sequence, position, logits) => {
    if (isTurnOver()) await nextTurn(undefined);
    const target = itemAt(itemAt(sequences, sequence), position + 1);
    likelihoods[sequence] = likelihood(sequence) - crossEntropy(logits, target, labelSmoothing);
  });
  const best = likelihoods.reduce((most, each) => Math.max(most, each), Number.NEGATIVE_INFINITY);
  const total = likelihoods.reduce((sum, each) => sum + Math.exp(each - best), 0);
  const byLikelihood = await inTurns(
    sortSteps(
      scored.map((_, sequence) => sequence),
      (one, other) => likelihood(other) - likelihood(one) || (scored[one] ?? 0) - (scored[other] ?? 0),
    ),
  );
  return inTurns(
    mapSteps(byFirstToken, (other, rank) => {
      const sequence = byLikelihood[rank];
      const index = sequence === undefined ? other : itemAt(scored, sequence);
      return toResult({
        index,
        firstTokenProbability: firstTokenProbability(index),
        probability: sequence === undefined ? 0 : Math.exp(likelihood(sequence) - best) / total,
        logLikelihood: sequence === undefined ? Number.NEGATIVE_INFINITY : likelihood(sequence),
      });
    }),
  );
}

/** Computes the logits of sequences by a decoder that gives one position at a time; a beginning that several share is run once. */
export function stepwise(nextTokenLogits: NextTokenLogits, atOnce: number): LogitsOfSequences {
  return async (sequences, use) => {
    // Of one length together: a call of the decoder has one position. In portions, since each result is a vocabulary long.
    const beginnings = await inTurns(beginningSteps(sequences));
    const wanted = await inTurns(sortSteps(beginnings, (one, other) => one.tokenIds.length - other.tokenIds.length));
    for (let at = 0; at < wanted.length; at += atOnce) {
      const portion = wanted.slice(at, at + atOnce);
      const logits = await nextTokenLogits(portion.map(({ tokenIds }) => ({ row: 0, tokenIds })));
      for (const [i, { tokenIds, sequences: users }] of portion.entries()) {
        for (const sequence of users) await use(sequence, tokenIds.length - 1, itemAt(logits, i));
      }
    }
  };
}

/** A beginning that some sequences share. */
interface Beginning {
  readonly tokenIds: readonly number[];
  /** The sequences, by their places. */
  readonly sequences: number[];
}

/** Finds the different beginnings of sequences. */
function* beginningSteps(sequences: readonly (readonly number[])[]): Generator<void, Beginning[]> {
  const beginnings = new Map<string, Beginning>();
  for (const [i, tokenIds] of sequences.entries()) {
    for (let length = 1; length < tokenIds.length; length++) {
      const beginning = tokenIds.slice(0, length);
      const known = beginnings.get(beginning.join());
      if (known) known.sequences.push(i);
      else beginnings.set(beginning.join(), { tokenIds: beginning, sequences: [i] });
    }
    yield;
  }
  return [...beginnings.values()];
}

/** Computes PyTorch's cross-entropy of one token, with label smoothing. */
function crossEntropy(logits: Float32Array, target: number, labelSmoothing: number): number {
  const sum = logSumExp(logits);
  let mean = 0;
  if (labelSmoothing > 0) {
    for (let i = 0; i < logits.length; i++) mean += logits[i] ?? 0;
    mean /= logits.length;
  }
  return (1 - labelSmoothing) * (sum - itemAt(logits, target)) + labelSmoothing * (sum - mean);
}
