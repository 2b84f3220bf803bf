import type { NextTokenLogits, RowSequence } from "../../../generation/search.js";
import { attentionMaskOf, batchesOf, rowsOf, stackRows, type Tensor } from "../../../torch/tensor.js";
import { itemAt } from "../../../util/item-at.js";
import type { DecoderInputs, DecoderPaddedGenerator } from "../../decoder-padded-generator.js";
import type { EncoderRow } from "../../encoder-row.js";

/** Runs live sequences, of whichever rows, through the decoder's compiled batch size: in as few calls as it allows. */
export function nextTokenLogitsOf(decoder: DecoderPaddedGenerator, rows: readonly EncoderRow[]): NextTokenLogits {
  const stacked = new StackedRows(rows);
  let inputs: DecoderInputs | undefined;
  return async (sequences) => {
    const results: Float32Array[] = [];
    for (const slice of slicesOfOneLength(sequences, Math.max(...decoder.batchSizes))) {
      inputs = decoder.prepareInputsForGeneration(
        slice.map(({ tokenIds }) => tokenIds),
        inputs,
      );
      const [batchSize = 0] = inputs.inputIds.shape;
      const { hiddenStates, attentionMask } = stacked.of(
        slice.map(({ row }) => row),
        batchSize,
      );
      const logits = rowsOf(await decoder.forward(inputs, hiddenStates, attentionMask));
      for (const [i, { index }] of slice.entries()) results[index] = itemAt(logits, i).data;
    }
    return results;
  };
}

/** What the decoder attends to in one call. */
export interface EncoderBatch {
  /** float32 [batch, length, hidden size] */
  readonly hiddenStates: Tensor<"float32">;
  /** int64 [batch, length] */
  readonly attentionMask: Tensor<"int64">;
}

/** Batches of rows; the last one made is kept, since most steps ask for the same rows again. */
export class StackedRows {
  readonly #rows: readonly EncoderRow[];
  #key = "";
  #last: EncoderBatch | undefined;

  constructor(rows: readonly EncoderRow[]) {
    this.#rows = rows;
  }

  /** Stacks rows. Those that are missing are filled up with the last one, whose result the caller ignores. */
  of(indices: readonly number[], batchSize: number): EncoderBatch {
    const key = `${batchSize}:${indices.join()}`;
    if (this.#last === undefined || this.#key !== key) {
      const last = indices.length - 1;
      const chosen = Array.from({ length: batchSize }, (_, i) =>
        itemAt(this.#rows, itemAt(indices, Math.min(i, last))),
      );
      const hiddenStates = stackRows(
        chosen.map(({ hiddenStates }) => hiddenStates),
        batchSize,
      );
      const attended = chosen.map(({ attended }) => attended);
      const [, width = 0] = hiddenStates.shape;
      this.#key = key;
      this.#last = { hiddenStates, attentionMask: attentionMaskOf(attended, width) };
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
