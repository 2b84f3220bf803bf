import type { LogitsOfSequences } from "../../../generation/ranking.js";
import type { NextTokenLogits } from "../../../generation/search.js";
import type { Decoder, RankingPart } from "../../decoder.js";
import type { DecoderPaddedGenerator } from "../../decoder-padded-generator.js";
import type { EncoderRow } from "../../encoder-row.js";
import type { DecoderAllPositions } from "./decoder-all-positions.js";
import { nextTokenLogitsOf } from "./next-token-logits.js";

/** Writes by the tutorial's decoder, a whole padded sequence at every step, and by what was compiled besides. */
export class CompiledDecoder implements Decoder {
  readonly rankingPart: RankingPart;
  readonly logitsOf?: (question: EncoderRow, signal?: AbortSignal) => LogitsOfSequences;
  readonly #textDecoder: DecoderPaddedGenerator;

  constructor(textDecoder: DecoderPaddedGenerator, allPositions?: DecoderAllPositions) {
    this.#textDecoder = textDecoder;
    this.rankingPart = allPositions ? "text_decoder_all_positions" : "text_decoder";
    if (allPositions) this.logitsOf = (question, signal) => allPositions.logitsOf(question, signal);
  }

  decode<T>(rows: readonly EncoderRow[], use: (nextTokenLogits: NextTokenLogits) => Promise<T>): Promise<T> {
    return use(nextTokenLogitsOf(this.#textDecoder, rows));
  }
}
