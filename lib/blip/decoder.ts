import type { LogitsOfSequences } from "../generation/ranking.js";
import type { NextTokenLogits } from "../generation/search.js";
import type { EncoderRow } from "./encoder-row.js";

/**
 * The part that scores candidates: of a checkpoint "text_decoder_cached", in a few calls for all candidates' tokens at one position;
 * of compiled parts "text_decoder_all_positions" in a call for each compiled batch of candidates, or, where the model was compiled
 * without `--rank`, "text_decoder", in a call for each batch of different beginnings.
 */
export type RankingPart = "text_decoder_cached" | "text_decoder_all_positions" | "text_decoder";

export interface DecodingOptions {
  /**
   * Whether sequences come that continue others than those of the call before: those that are not shorter than the shortest
   * asked for less one token are then kept. Default false: only those of the call before.
   */
  revisits?: boolean;
}

/** Writes texts: what a model's way of doing so is, is chosen when it is loaded. */
export interface Decoder {
  readonly rankingPart: RankingPart;
  /**
   * Decodes rows, which may be of any lengths.
   * @param use asks for the logits, step by step; what is kept from step to step is freed when it has ended.
   */
  decode<T>(
    rows: readonly EncoderRow[],
    use: (nextTokenLogits: NextTokenLogits) => Promise<T>,
    options?: DecodingOptions,
  ): Promise<T>;
  /** Computes the logits of all positions of sequences about one question at once, where the model has a part for that. */
  logitsOf?(question: EncoderRow, signal?: AbortSignal): LogitsOfSequences;
}
