/** The processors that transformers applies before it draws a token, in its order, after those of logits-processors.ts. */
import { softmax } from "./distribution.js";
import type { LogitsProcessor, ResolvedGenerationConfig } from "./generation-config.js";

const FORBIDDEN = Number.NEGATIVE_INFINITY;

/**
 * Returns the processors that narrow and sharpen the distribution that `doSample` draws from. At least the most likely token always
 * stays.
 */
export function samplingProcessors(config: ResolvedGenerationConfig): LogitsProcessor[] {
  const processors: LogitsProcessor[] = [];
  if (config.temperature !== 1) processors.push(temperature(config.temperature));
  if (config.topK > 0) processors.push(topK(config.topK));
  if (config.topP < 1) processors.push(topP(config.topP));
  if (config.minP > 0) processors.push(minP(config.minP));
  if (config.typicalP < 1) processors.push(typicalP(config.typicalP));
  return processors;
}

function temperature(value: number): LogitsProcessor {
  const divisor = Math.fround(value);
  return (_, scores) => {
    for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] ?? 0) / divisor;
  };
}

/** Keeps the k most likely tokens, and those as likely as the last of them. */
function topK(k: number): LogitsProcessor {
  return (_, scores) => {
    if (k >= scores.length) return;
    const least = sorted(scores)[scores.length - k] ?? FORBIDDEN;
    for (let i = 0; i < scores.length; i++) if ((scores[i] ?? 0) < least) scores[i] = FORBIDDEN;
  };
}

function topP(p: number): LogitsProcessor {
  const rest = Math.fround(1 - p);
  return (_, scores) => {
    const order = sorted(scores);
    const probabilities = softmax(order);
    let cumulated = 0;
    let cut = 0;
    for (; cut < order.length - 1; cut++) {
      cumulated += probabilities[cut] ?? 0;
      if (Math.fround(cumulated) > rest) break;
    }
    // Those before the cut, of equal ones the first.
    const least = order[cut] ?? FORBIDDEN;
    let equalsLeft = cut - order.indexOf(least);
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i] ?? 0;
      if (score < least || (score === least && equalsLeft-- > 0)) scores[i] = FORBIDDEN;
    }
  };
}

function minP(p: number): LogitsProcessor {
  const share = Math.fround(p);
  return (_, scores) => {
    const probabilities = softmax(scores);
    const least = Math.fround(share * probabilities.reduce((most, probability) => Math.max(most, probability)));
    for (let i = 0; i < scores.length; i++) if ((probabilities[i] ?? 0) < least) scores[i] = FORBIDDEN;
  };
}

/** Keeps the tokens whose surprise is nearest to the expected one: "Locally typical sampling", arXiv 2202.00666. */
function typicalP(mass: number): LogitsProcessor {
  const threshold = Math.fround(mass);
  return (_, scores) => {
    const probabilities = softmax(scores);
    const surprises = probabilities.map((probability) => -Math.log(probability));
    let entropy = 0;
    for (let i = 0; i < probabilities.length; i++) {
      const probability = probabilities[i] ?? 0;
      if (probability > 0) entropy += probability * (surprises[i] ?? 0);
    }
    const distances = surprises.map((surprise) => Math.abs(surprise - entropy));
    let cumulated = 0;
    let farthest = 0;
    for (const token of orderOf(distances)) {
      farthest = distances[token] ?? 0;
      cumulated += probabilities[token] ?? 0;
      if (!(Math.fround(cumulated) < threshold)) break;
    }
    for (let i = 0; i < scores.length; i++) if ((distances[i] ?? 0) > farthest) scores[i] = FORBIDDEN;
  };
}

/** Sorts from the smallest to the largest. Without a function that compares, which takes ten times as long. */
function sorted(values: Float32Array): Float32Array {
  return Float32Array.from(values).sort();
}

/** Returns the indices of values from the smallest to the largest, equal ones in order, infinite ones last. */
function orderOf(values: Float32Array): number[] {
  const finite: number[] = [];
  const infinite: number[] = [];
  for (let i = 0; i < values.length; i++) ((values[i] ?? 0) < Number.POSITIVE_INFINITY ? finite : infinite).push(i);
  // After topK few are finite: the others need not be compared.
  finite.sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0) || a - b);
  return finite.concat(infinite);
}
