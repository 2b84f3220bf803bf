import { NeuronBlipError } from "../errors.js";

/** e to this power, of as many tokens as a vocabulary has, adds up to less than a double rounds off. */
const LEAST_EXPONENT = -48;
/** e^(-i / 64), down to that. */
const EXPONENTIALS = Float64Array.from({ length: -LEAST_EXPONENT * 64 + 1 }, (_, i) => Math.exp(-i / 64));

/**
 * Computes the logarithm of the sum of exponentials, in double precision, to 1e-11: e^x from a table and its series to the fourth
 * power, in a third of the time of Math.exp, since it is taken of every token of the vocabulary on the event loop.
 */
export function logSumExp(scores: Float32Array): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < scores.length; i++) {
    const score = scores[i] ?? highest;
    if (score > highest) highest = score;
  }
  let sum = 0;
  for (let i = 0; i < scores.length; i++) {
    const x = (scores[i] ?? 0) - highest;
    if (x < LEAST_EXPONENT) continue;
    const index = (-64 * x) | 0; // 0 of what is no number, which then makes the sum none
    const rest = x + index / 64;
    const square = rest * rest;
    sum += (EXPONENTIALS[index] ?? 0) * (1 + rest + square * (1 / 2 + rest * (1 / 6) + square * (1 / 24)));
  }
  // Not compared with `highest`: a variable that a closure holds makes the loops above take half as long again.
  if (scores.every((score) => score === Number.NEGATIVE_INFINITY)) throw noTokenLeft();
  if (!Number.isFinite(sum)) throw notNumbers();
  return highest + Math.log(sum);
}

function notNumbers(): NeuronBlipError {
  return new NeuronBlipError(
    "EXECUTION_FAILED",
    "The decoder's logits are not numbers (NaN or infinite): its weights are damaged, or a cast to a small type overflowed. " +
      "Fetch or save a checkpoint again and load it in float32; compile parts again, for inf2 with --auto-cast=none.",
  );
}

export function noTokenLeft(): NeuronBlipError {
  return new NeuronBlipError(
    "EXECUTION_FAILED",
    "No token can come next: the processors (bad words, suppressed tokens, n-grams, minimum length) forbid every one.",
  );
}

/**
 * Puts logarithms of probabilities in place of scores, rounded to float32.
 * @throws NeuronBlipError `EXECUTION_FAILED` where the scores are no numbers, or forbid every token.
 */
export function logSoftmax(scores: Float32Array): void {
  const sum = logSumExp(scores);
  for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] ?? 0) - sum;
}

/** Returns probabilities, as float32. @throws NeuronBlipError as `logSoftmax`. */
export function softmax(scores: Float32Array): Float32Array {
  const sum = logSumExp(scores);
  return scores.map((score) => Math.exp(score - sum));
}

/** Returns the token of the highest score, the lowest id among equals. */
export function mostLikely(scores: Float32Array): number {
  let token = 0;
  for (let i = 1; i < scores.length; i++) if ((scores[i] ?? 0) > (scores[token] ?? 0)) token = i;
  return token;
}

/**
 * Draws a token.
 * @param sum `logSumExp` of the scores. @param uniform a number from 0 (included) to 1 (excluded).
 */
export function draw(scores: Float32Array, sum: number, uniform: number): number {
  let left = uniform;
  let last = 0;
  for (let i = 0; i < scores.length; i++) {
    const probability = Math.exp((scores[i] ?? 0) - sum);
    if (probability === 0) continue;
    last = i;
    left -= probability;
    if (left < 0) return i;
  }
  return last; // the probabilities add up to a little less than 1
}
