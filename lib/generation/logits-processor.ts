/**
 * Changes the scores of the next token in place.
 * @param sequence the tokens so far, prompt included.
 * @param scores one score per token of the vocabulary: logits, or, in beam search, their log-softmax.
 */
export type LogitsProcessor = (sequence: readonly number[], scores: Float32Array) => void;
