/** The search for one row's sequences. */
export interface Search {
  /** The sequences whose next token's logits are wanted; none when the search has ended. */
  readonly live: readonly (readonly number[])[];
  /** Takes those logits, in order, and may overwrite them. */
  advance(logits: readonly Float32Array[]): void;
  /** What was found, the best first. Once the search has ended. */
  readonly found: readonly GeneratedSequence[];
}

/** A generated sequence with how likely the model found it. */
export interface GeneratedSequence {
  /** The tokens, from the first of the prompt to the end-of-sequence token (which a length limit can cut off). */
  tokenIds: number[];
  /**
   * One for each generated token, as transformers' `compute_transition_scores` gives them: the natural logarithm of its
   * probability after the processors, in beam search its processed log-probability (which processors can push off one).
   */
  tokenLogProbabilities: number[];
  sumLogProbability: number;
  /** Their mean, which does not fall with the length. */
  meanLogProbability: number;
  /** What beam search ranks by: the sum divided by the generated length to the power of `lengthPenalty`; else the sum. */
  sequenceScore: number;
  /** With `outputScores`: for each generated token, the processed scores of all tokens that it was chosen by. */
  scores?: Float32Array[];
}
