import type { RankedSequence } from "../generation/ranking.js";

/** What is known of a generated text. */
export interface GeneratedText {
  /**
   * Its probability, from 0 to 1: the product of its generated tokens' probabilities. In beam search, where processors change
   * log-probabilities themselves, what they add or take can carry it beyond.
   */
  score: number;
  /** The sum of the natural logarithms of its tokens' probabilities. */
  sumLogProbability: number;
  /** Their mean, which does not fall with the length. */
  meanLogProbability: number;
  /** The logarithm of each generated token's probability: see GeneratedSequence. */
  tokenLogProbabilities: number[];
  /** What beam search ranks by: see GeneratedSequence. */
  sequenceScore: number;
  /** The tokens, from the decoder's start token to [SEP]. */
  tokenIds: number[];
  /** With `outputScores`: the processed scores of all tokens, for each generated one. */
  scores?: Float32Array[];
}

export interface Answer extends GeneratedText {
  answer: string;
  /** With `numReturnSequences` above 1: the further answers, the best first; those of `doSample` as they were drawn. */
  alternatives?: Answer[];
}

export interface Caption extends GeneratedText {
  /** The caption, its prompt included. */
  caption: string;
  /** With `numReturnSequences` above 1: the further captions, the best first; those of `doSample` as they were drawn. */
  alternatives?: Caption[];
}

export interface RankedAnswer extends RankedSequence {
  answer: string;
}

export interface Match {
  /** The probability, from 0 to 1, that the text describes the picture. */
  score: number;
  /** The matching head's logits of no and of yes. */
  logits: [no: number, yes: number];
}

/** Makes a result of the matching head's output. @param logits of no and of yes. */
export function toMatch(logits: Float32Array): Match {
  const [no = Number.NaN, yes = Number.NaN] = logits;
  return { score: 1 / (1 + Math.exp(no - yes)), logits: [no, yes] };
}
