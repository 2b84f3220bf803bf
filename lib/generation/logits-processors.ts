/**
 * transformers' logits processors (`generation/logits_process.py`), in its order (`_get_logits_processor` of
 * `generation/utils.py`), on one sequence at a time. Each rounds to float32 where transformers does, so that ties stay ties.
 */
import type { LogitsProcessor, ResolvedGenerationConfig } from "./generation-config.js";

const FORBIDDEN = Number.NEGATIVE_INFINITY;

/** Returns the processors that a configuration asks for; those that only sampling uses come from `samplingProcessors`. */
export function logitsProcessors(config: ResolvedGenerationConfig): LogitsProcessor[] {
  const { eosTokenId, promptLength, forcedBosTokenId } = config;
  const processors: LogitsProcessor[] = [];
  if (config.sequenceBias.length > 0) processors.push(sequenceBias(config.sequenceBias));
  if (config.repetitionPenalty !== 1) processors.push(repetitionPenalty(config.repetitionPenalty));
  if (config.noRepeatNgramSize > 0) processors.push(noRepeatNgram(config.noRepeatNgramSize));
  if (config.badWordsIds.length > 0) processors.push(noBadWords(config.badWordsIds, eosTokenId));
  if (config.minLength > 0) processors.push(minLength(config.minLength, eosTokenId));
  if (forcedBosTokenId !== undefined) processors.push(forcedAt(1, [forcedBosTokenId]));
  if (config.forcedEosTokenIds.length > 0) processors.push(forcedAt(config.maxLength - 1, config.forcedEosTokenIds));
  if (config.suppressTokens.length > 0) processors.push(suppress(config.suppressTokens));
  if (config.beginSuppressTokens.length > 0) {
    // A forced first token comes before the one that this is about.
    const begin = promptLength > 1 || forcedBosTokenId === undefined ? promptLength : promptLength + 1;
    const suppressed = suppress(config.beginSuppressTokens);
    processors.push((sequence, scores) => {
      if (sequence.length === begin) suppressed(sequence, scores);
    });
  }
  return [...processors, ...config.logitsProcessors];
}

/** Adds a bias to the last token of each sequence whose other tokens have just been generated. */
function sequenceBias(biases: ResolvedGenerationConfig["sequenceBias"]): LogitsProcessor {
  // As in a dictionary, the last bias of a sequence counts.
  const unique = [...new Map(biases.map((bias) => [bias[0].join(), bias])).values()].flatMap(([tokenIds, bias]) => {
    const token = tokenIds.at(-1);
    return token === undefined ? [] : { prefix: tokenIds.slice(0, -1), token, bias };
  });
  return (sequence, scores) => {
    // Summed before it is added: a token can end several sequences.
    const sums = new Map<number, number>();
    for (const { prefix, token, bias } of unique) {
      if (prefix.length > sequence.length) continue;
      const start = sequence.length - prefix.length;
      if (!prefix.every((token, i) => sequence[start + i] === token)) continue;
      sums.set(token, Math.fround((sums.get(token) ?? 0) + Math.fround(bias)));
    }
    for (const [token, sum] of sums) scores[token] = (scores[token] ?? 0) + sum;
  };
}

function repetitionPenalty(penalty: number): LogitsProcessor {
  const factor = Math.fround(penalty);
  return (sequence, scores) => {
    for (const token of new Set(sequence)) {
      const score = scores[token] ?? 0;
      scores[token] = score < 0 ? score * factor : score / factor;
    }
  };
}

/** Forbids the tokens that followed the last `size - 1` tokens before. */
function noRepeatNgram(size: number): LogitsProcessor {
  return (sequence, scores) => {
    const start = sequence.length - (size - 1);
    for (let i = 0; i + size <= sequence.length; i++) {
      let same = 0;
      while (same < size - 1 && sequence[i + same] === sequence[start + same]) same++;
      const next = sequence[i + same];
      if (same === size - 1 && next !== undefined) scores[next] = FORBIDDEN;
    }
  };
}

/** Forbids bad words. The end-of-sequence token alone cannot be one. */
function noBadWords(badWordsIds: readonly (readonly number[])[], eosTokenId: number): LogitsProcessor {
  const words = badWordsIds.filter((word) => word.length > 1 || word[0] !== eosTokenId);
  return sequenceBias(words.map((word) => [word, FORBIDDEN]));
}

function minLength(length: number, eosTokenId: number): LogitsProcessor {
  return (sequence, scores) => {
    if (sequence.length < length) scores[eosTokenId] = FORBIDDEN;
  };
}

/** Forbids, at a given length, all but these tokens. */
function forcedAt(length: number, tokens: readonly number[]): LogitsProcessor {
  return (sequence, scores) => {
    if (sequence.length !== length) return;
    scores.fill(FORBIDDEN);
    for (const token of tokens) scores[token] = 0;
  };
}

function suppress(tokens: readonly number[]): LogitsProcessor {
  return (_, scores) => {
    for (const token of tokens) scores[token] = FORBIDDEN;
  };
}
