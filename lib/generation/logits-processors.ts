/**
 * Changes the scores of the next token in place.
 * @param sequence the tokens so far, the first included.
 * @param scores one score per token of the vocabulary: logits, as float32.
 */
export type LogitsProcessor = (sequence: readonly number[], scores: Float32Array) => void;

/** transformers' MinLengthLogitsProcessor: forbids the end-of-sequence token while the sequence is too short. */
export function minLengthProcessor(minLength: number, eosTokenId: number): LogitsProcessor {
  return (sequence, scores) => {
    if (sequence.length < minLength) scores[eosTokenId] = Number.NEGATIVE_INFINITY;
  };
}
