import { NeuronBlipError } from "../errors.js";

/** The logarithm of the sum of exponentials, in double precision. */
export function logSumExp(scores: Float32Array): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) if ((scores[i] as number) > highest) highest = scores[i] as number;
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp((scores[i] as number) - highest);
  if (highest === Number.NEGATIVE_INFINITY && scores.every((score) => score === highest)) throw noTokenLeft();
  if (!Number.isFinite(sum)) throw notNumbers();
  return highest + Math.log(sum);
}

export function notNumbers(): NeuronBlipError {
  return new NeuronBlipError(
    "EXECUTION_FAILED",
    "The decoder's logits are not numbers (NaN or infinite): its weights are damaged, or a cast to a small type overflowed. " +
      "Compile again, for inf2 with --auto-cast=none.",
  );
}

export function noTokenLeft(): NeuronBlipError {
  return new NeuronBlipError(
    "EXECUTION_FAILED",
    "No token can come next: the processors (bad words, suppressed tokens, n-grams, minimum length) forbid every one.",
  );
}

/** The natural logarithm of one token's probability. */
export function logProbabilityOf(scores: Float32Array, token: number): number {
  return (scores[token] as number) - logSumExp(scores);
}

/**
 * Logarithms of probabilities in place of scores, rounded to float32.
 * @throws NeuronBlipError `EXECUTION_FAILED` where the scores are no numbers, or forbid every token.
 */
export function logSoftmax(scores: Float32Array): void {
  const sum = logSumExp(scores);
  for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] as number) - sum;
}

/** Probabilities, as float32. @throws NeuronBlipError as `logSoftmax`. */
export function softmax(scores: Float32Array): Float32Array {
  const sum = logSumExp(scores);
  return scores.map((score) => Math.exp(score - sum));
}

/** The token of the highest score, the lowest id among equals. */
export function mostLikely(scores: Float32Array): number {
  let token = 0;
  for (let i = 1; i < scores.length; i++) if ((scores[i] as number) > (scores[token] as number)) token = i;
  return token;
}

/**
 * Draws a token.
 * @param uniform a number from 0 (included) to 1 (excluded).
 */
export function draw(scores: Float32Array, uniform: number): number {
  const sum = logSumExp(scores);
  let left = uniform;
  let last = 0;
  for (let i = 0; i < scores.length; i++) {
    const probability = Math.exp((scores[i] as number) - sum);
    if (probability === 0) continue;
    last = i;
    left -= probability;
    if (left < 0) return i;
  }
  return last; // the probabilities add up to a little less than 1
}
