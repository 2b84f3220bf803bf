/**
 * Says whether a sequence ends here, as transformers' StoppingCriteria.
 * @param sequence the tokens so far, prompt and newest token included.
 */
export type StoppingCriterion = (sequence: readonly number[]) => boolean;

/**
 * Whether a sequence ends: by the end-of-sequence token, by its length, or by a criterion of the user's.
 */
export function hasEnded(
  sequence: readonly number[],
  config: { eosTokenId: number; maxLength: number; stoppingCriteria: readonly StoppingCriterion[] },
): boolean {
  return (
    sequence.at(-1) === config.eosTokenId ||
    sequence.length >= config.maxLength ||
    config.stoppingCriteria.some((ends) => ends(sequence))
  );
}
