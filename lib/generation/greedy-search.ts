import { NeuronBlipError, throwIfAborted } from "../errors.js";
import type { ResolvedGenerationConfig } from "./generation-config.js";
import { type LogitsProcessor, minLengthProcessor } from "./logits-processors.js";

/** A generated sequence with how likely the model found it. */
export interface GeneratedSequence {
  /** The tokens, from the decoder's start token to the end-of-sequence token (which a length limit can cut off). */
  tokenIds: number[];
  /** The natural logarithm of each generated token's probability, after the processors: one per token but the first. */
  tokenLogProbabilities: number[];
  sumLogProbability: number;
  meanLogProbability: number;
}

/**
 * The next token's logits after each sequence, in order. Sequences that have ended are shorter than the others and theirs
 * are not read.
 */
export type NextTokenLogits = (sequences: readonly (readonly number[])[]) => Promise<Float32Array[]>;

/**
 * Greedy search as transformers does it (`generation/utils.py`, `_sample` without sampling): at each step the token of the
 * highest processed score, the lowest id among equals.
 * @param count how many sequences to generate side by side.
 * @throws NeuronBlipError `ABORTED`, between two steps; `EXECUTION_FAILED` where the model gives no number.
 */
export async function greedySearch(
  count: number,
  nextTokenLogits: NextTokenLogits,
  config: ResolvedGenerationConfig,
  signal?: AbortSignal,
): Promise<GeneratedSequence[]> {
  const processors: LogitsProcessor[] = [minLengthProcessor(config.minLength, config.eosTokenId)];
  const rows = Array.from({ length: count }, () => ({
    tokenIds: [config.bosTokenId],
    tokenLogProbabilities: [] as number[],
    ended: false,
  }));
  for (let length = 1; length < config.maxLength && rows.some((row) => !row.ended); length++) {
    throwIfAborted(signal);
    const logits = await nextTokenLogits(rows.map((row) => row.tokenIds));
    for (const [i, row] of rows.entries()) {
      if (row.ended) continue;
      const scores = logits[i] as Float32Array;
      for (const process of processors) process(row.tokenIds, scores);
      const { token, logProbability } = mostLikely(scores);
      row.tokenIds.push(token);
      row.tokenLogProbabilities.push(logProbability);
      row.ended = token === config.eosTokenId;
    }
  }
  return rows.map(({ tokenIds, tokenLogProbabilities }) => {
    const sumLogProbability = tokenLogProbabilities.reduce((sum, value) => sum + value, 0);
    const meanLogProbability = sumLogProbability / Math.max(1, tokenLogProbabilities.length);
    return { tokenIds, tokenLogProbabilities, sumLogProbability, meanLogProbability };
  });
}

/** The highest score and its log-softmax. */
function mostLikely(scores: Float32Array): { token: number; logProbability: number } {
  let token = -1;
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] as number;
    if (score > highest) {
      highest = score;
      token = i;
    }
  }
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp((scores[i] as number) - highest);
  if (token < 0 || Number.isNaN(sum)) {
    throw new NeuronBlipError(
      "EXECUTION_FAILED",
      "The decoder's logits are not numbers (NaN or infinite): its weights are damaged, or a cast to a small type overflowed. " +
        "Compile again, for inf2 with --auto-cast=none.",
    );
  }
  return { token, logProbability: -Math.log(sum) };
}
