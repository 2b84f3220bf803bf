import type { NextTokenLogits, RowSequence } from "../../../generation/search.js";
import { batchesOf, rowsOf, stackRows } from "../../../torch/batch.js";
import type { Tensor } from "../../../torch/tensor.js";
import type { DecoderInputs, DecoderPaddedGenerator } from "../../decoder-padded-generator.js";
import type { EncoderRow } from "../../encoder-row.js";

/** Runs live sequences, of whichever rows, through the decoder's compiled batch size: in as few calls as it allows. */
export function nextTokenLogitsOf(decoder: DecoderPaddedGenerator, rows: readonly EncoderRow[]): NextTokenLogits {
  const stacked = new StackedRows(rows);
  let inputs: DecoderInputs | undefined;
  return async (sequences) => {
    const results: Float32Array[] = [];
    for (const slice of slicesOfOneLength(sequences, decoder.batchSizes.at(-1) as number)) {
      inputs = decoder.prepareInputsForGeneration(
        slice.map(({ tokenIds }) => tokenIds),
        inputs,
      );
      const { hiddenStates, attentionMask } = stacked.of(
        slice.map(({ row }) => row),
        inputs.inputIds.shape[0] as number,
      );
      const logits = rowsOf(await decoder.forward(inputs, hiddenStates, attentionMask));
      for (const [i, { index }] of slice.entries()) results[index] = (logits[i] as Tensor<"float32">).data;
    }
    return results;
  };
}

/** Batches of rows; the last one made is kept, since most steps ask for the same rows again. */
export class StackedRows {
  readonly #rows: readonly EncoderRow[];
  #key = "";
  #last: EncoderRow | undefined;

  constructor(rows: readonly EncoderRow[]) {
    this.#rows = rows;
  }

  /** @returns hiddenStates float32 [batch, length, hidden size] and attentionMask int64 [batch, length]. */
  of(indices: readonly number[], batchSize: number): EncoderRow {
    const key = `${batchSize}:${indices.join()}`;
    if (this.#last === undefined || this.#key !== key) {
      const chosen = indices.map((index) => this.#rows[index] as EncoderRow);
      this.#key = key;
      this.#last = {
        hiddenStates: stackRows(
          chosen.map(({ hiddenStates }) => hiddenStates),
          batchSize,
        ),
        attentionMask: stackRows(
          chosen.map(({ attentionMask }) => attentionMask),
          batchSize,
        ),
      };
    }
    return this.#last;
  }
}

/** Splits sequences into runs of at most `size`, each of one length, since a call of the decoder has one position. */
function slicesOfOneLength(sequences: readonly RowSequence[], size: number): (RowSequence & { index: number })[][] {
  const byLength = new Map<number, (RowSequence & { index: number })[]>();
  for (const [index, sequence] of sequences.entries()) {
    const { length } = sequence.tokenIds;
    const same = byLength.get(length) ?? [];
    byLength.set(length, same);
    same.push({ ...sequence, index });
  }
  return [...byLength.values()].flatMap((same) => batchesOf(same, [size]).map(({ rows }) => rows));
}
