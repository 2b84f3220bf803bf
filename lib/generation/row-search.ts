import type { GeneratedSequence } from "./generated-sequence.js";

/** The search for one row's sequences. */
export interface Search {
  /** The sequences whose next token's logits are wanted; none when the search has ended. */
  readonly live: readonly (readonly number[])[];
  /** Takes those logits, in order, and may overwrite them. */
  advance(logits: readonly Float32Array[]): void;
  /** What was found, the best first. Once the search has ended. */
  results(): GeneratedSequence[];
}
