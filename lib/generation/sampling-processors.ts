/** The processors that transformers applies before it draws a token, in its order, after those of logits-processors.ts. */
import { softmax } from "./distribution.js";
import type { ResolvedGenerationConfig } from "./generation-config.js";
import type { LogitsProcessor } from "./logits-processors.js";

const FORBIDDEN = Number.NEGATIVE_INFINITY;

/** What narrows and sharpens the distribution that `doSample` draws from. At least the most likely token always stays. */
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
    for (let i = 0; i < scores.length; i++) scores[i] = (scores[i] as number) / divisor;
  };
}

/** Tokens as likely as the last of the k stay too. */
function topK(k: number): LogitsProcessor {
  return (_, scores) => {
    if (k >= scores.length) return;
    const least = Float32Array.from(scores).sort()[scores.length - k] as number;
    for (let i = 0; i < scores.length; i++) if ((scores[i] as number) < least) scores[i] = FORBIDDEN;
  };
}

function topP(p: number): LogitsProcessor {
  const rest = Math.fround(1 - p);
  return (_, scores) => {
    const order = orderBy(scores);
    const probabilities = softmax(scores);
    let cumulated = 0;
    for (const token of order.subarray(0, -1)) {
      cumulated += probabilities[token] as number;
      if (Math.fround(cumulated) > rest) break;
      scores[token] = FORBIDDEN;
    }
  };
}

function minP(p: number): LogitsProcessor {
  const share = Math.fround(p);
  return (_, scores) => {
    const probabilities = softmax(scores);
    const least = Math.fround(share * probabilities.reduce((most, probability) => Math.max(most, probability)));
    for (let i = 0; i < scores.length; i++) if ((probabilities[i] as number) < least) scores[i] = FORBIDDEN;
  };
}

/** Keeps the tokens whose surprise is nearest to the expected one: "Locally typical sampling", arXiv 2202.00666. */
function typicalP(mass: number): LogitsProcessor {
  const threshold = Math.fround(mass);
  return (_, scores) => {
    const probabilities = softmax(scores);
    const surprises = probabilities.map((probability) => -Math.log(probability));
    let entropy = 0;
    for (const [i, probability] of probabilities.entries()) {
      if (probability > 0) entropy += probability * (surprises[i] as number);
    }
    const distances = surprises.map((surprise) => Math.abs(surprise - entropy));
    let cumulated = 0;
    let farthest = 0;
    for (const token of orderBy(distances)) {
      farthest = distances[token] as number;
      cumulated += probabilities[token] as number;
      if (!(Math.fround(cumulated) < threshold)) break;
    }
    for (let i = 0; i < scores.length; i++) if ((distances[i] as number) > farthest) scores[i] = FORBIDDEN;
  };
}

/** The indices of values from the smallest to the largest; equal ones in order. */
function orderBy(values: Float32Array): Uint32Array {
  return Uint32Array.from(values.keys()).sort((a, b) => (values[a] as number) - (values[b] as number) || a - b);
}
