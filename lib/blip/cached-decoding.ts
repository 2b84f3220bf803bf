import type { NextTokenLogits, RowSequence } from "../generation/search.js";
import { slicesOf } from "../torch/batch.js";
import { Tensor } from "../torch/tensor.js";
import type { Decoder, Decoding, DecodingOptions, RankingPart } from "./decoder.js";
import type { EncoderRow } from "./encoder-row.js";
import type { TextDecoderCached } from "./text-decoder-cached.js";

/** The most sequences of one call of the decoder. */
const ROWS_AT_ONCE = 64;

/**
 * The most positions that the rows of one call attend to, together: the keys and values of one take 74 KB in fp32 (those of a
 * picture 42 MB), and each row of a call has its own.
 */
const POSITIONS_AT_ONCE = 4096;

/** Rows of the input whose keys and values are one tensor. */
interface Encoded {
  /** Of the input's rows, by their place in the tensors. */
  readonly rows: readonly number[];
  readonly length: number;
  readonly keysValues: Tensor;
  readonly attentionMask: Tensor<"int64">;
}

/** Sequences of one length that the decoder has read: a row for each. */
interface Past {
  readonly length: number;
  readonly encoded: Encoded;
  readonly keysValues: Tensor;
  /** The sequences' keys in `#pasts`. */
  readonly keys: readonly string[];
}

interface Place {
  readonly past: Past;
  readonly row: number;
}

interface Wanted extends RowSequence {
  /** Where its logits go. */
  readonly index: number;
}

/** Writes by the decoder for the CPU, which keeps keys and values from step to step. */
export class CachedDecoder implements Decoder {
  readonly rankingPart: RankingPart = "text_decoder_cached";
  readonly #textDecoder: TextDecoderCached;

  constructor(textDecoder: TextDecoderCached) {
    this.#textDecoder = textDecoder;
  }

  decode(rows: readonly EncoderRow[], options?: DecodingOptions): Decoding {
    return new CachedDecoding(this.#textDecoder, rows, options);
  }
}

/** Runs live sequences, of whichever rows, through the decoder for the CPU: each token of each sequence once. */
class CachedDecoding implements Decoding {
  readonly #decoder: TextDecoderCached;
  readonly #rows: readonly EncoderRow[];
  readonly #revisits: boolean;
  readonly #encoded = new Map<number, Promise<Encoded>>();
  readonly #places = new Map<string, Place>();
  readonly #pasts = new Set<Past>();

  /** @param rows what each row of the input attends to, of any lengths. */
  constructor(decoder: TextDecoderCached, rows: readonly EncoderRow[], { revisits = false }: DecodingOptions = {}) {
    this.#decoder = decoder;
    this.#rows = rows;
    this.#revisits = revisits;
  }

  /** One step: see NextTokenLogits. The sequences may be of any lengths; those that continue earlier ones are read from there. */
  readonly nextTokenLogits: NextTokenLogits = async (sequences) => {
    const before = new Set(this.#pasts);
    const results: Float32Array[] = [];
    const wanted = sequences.map((sequence, index) => ({ ...sequence, index }));
    const shortestFirst = [...new Set(wanted.map(({ tokenIds }) => tokenIds.length))].sort((one, other) => one - other);
    // A longer one can continue a shorter one of the same step.
    for (const length of shortestFirst) {
      await this.#stepOfLength(
        wanted.filter(({ tokenIds }) => tokenIds.length === length),
        results,
      );
    }
    const shortest = shortestFirst[0] ?? 0;
    for (const past of this.#pasts) {
      if (this.#revisits ? past.length < shortest - 1 : before.has(past)) this.#forget(past);
    }
    return results;
  };

  /** Frees what was kept; not to be called while a step is under way. */
  [Symbol.dispose](): void {
    for (const past of this.#pasts) this.#forget(past);
    for (const encoded of this.#encoded.values()) {
      void encoded.then(({ keysValues }) => keysValues.dispose()).catch(() => {});
    }
    this.#encoded.clear();
  }

  async #stepOfLength(wanted: readonly Wanted[], results: Float32Array[]): Promise<void> {
    // Those that continue one past go together, and those that begin, by what they attend to.
    const groups = new Map<Past | Encoded, Wanted[]>();
    for (const sequence of wanted) {
      const parent = this.#places.get(keyOf(sequence.row, sequence.tokenIds.slice(0, -1)));
      const key = parent?.past ?? (await this.#encodedOf(sequence.row));
      const group = groups.get(key) ?? [];
      groups.set(key, group);
      group.push(sequence);
    }
    for (const [source, group] of groups) {
      const past = "encoded" in source ? source : undefined;
      const encoded = "encoded" in source ? source.encoded : source;
      for (const slice of slicesOf(group, rowsAtOnce(encoded.length))) {
        await this.#call(slice, encoded, past, results);
      }
    }
  }

  async #call(
    slice: readonly Wanted[],
    encoded: Encoded,
    past: Past | undefined,
    results: Float32Array[],
  ): Promise<void> {
    const length = slice[0]?.tokenIds.length as number;
    const unread = past ? 1 : length;
    const keys = slice.map(({ row, tokenIds }) => keyOf(row, tokenIds));
    using inputIds = int64([slice.length, unread], (at) => {
      const { tokenIds } = slice[Math.floor(at / unread)] as Wanted;
      return tokenIds[length - unread + (at % unread)] as number;
    });
    using parents = int64([slice.length], (at) => {
      const { row, tokenIds } = slice[at] as Wanted;
      return past ? (this.#places.get(keyOf(row, tokenIds.slice(0, -1))) as Place).row : 0;
    });
    using encoderRows = int64([slice.length], (at) => encoded.rows.indexOf((slice[at] as Wanted).row));
    const { logits, presentKeysValues } = await this.#decoder.forward({
      inputIds,
      pastKeysValues: past?.keysValues ?? this.#decoder.emptyPast,
      parents,
      encoderKeysValues: encoded.keysValues,
      encoderRows,
      encoderAttentionMask: encoded.attentionMask,
    });
    const present = { length, encoded, keysValues: presentKeysValues, keys };
    this.#pasts.add(present);
    const vocabSize = logits.shape[1] as number;
    for (const [i, { index }] of slice.entries()) {
      this.#places.set(keys[i] as string, { past: present, row: i });
      results[index] = logits.data.subarray(i * vocabSize, (i + 1) * vocabSize);
    }
    // Its memory lives on in the results.
    logits.dispose();
  }

  #forget(past: Past): void {
    this.#pasts.delete(past);
    for (const key of past.keys) if (this.#places.get(key)?.past === past) this.#places.delete(key);
    past.keysValues.dispose();
  }

  /** Keys and values of a row's neighbours and its own, computed when the first of them is asked for. */
  #encodedOf(row: number): Promise<Encoded> {
    const longest = Math.max(...this.#rows.map(({ hiddenStates }) => hiddenStates.shape[1] as number));
    const together = rowsAtOnce(longest);
    const first = row - (row % together);
    let encoded = this.#encoded.get(first);
    if (encoded === undefined) {
      encoded = this.#encode(first, this.#rows.slice(first, first + together));
      this.#encoded.set(first, encoded);
    }
    return encoded;
  }

  async #encode(first: number, rows: readonly EncoderRow[]): Promise<Encoded> {
    const { hiddenStates, attentionMask } = paddedRows(rows);
    const keysValues = await this.#decoder.encoderKeysValues(hiddenStates);
    return {
      rows: rows.map((_, i) => first + i),
      length: attentionMask.shape[1] as number,
      keysValues,
      attentionMask,
    };
  }
}

function rowsAtOnce(length: number): number {
  return Math.max(1, Math.min(ROWS_AT_ONCE, Math.floor(POSITIONS_AT_ONCE / length)));
}

function keyOf(row: number, tokenIds: readonly number[]): string {
  return `${row}:${tokenIds.join()}`;
}

function int64(shape: readonly number[], valueAt: (index: number) => number): Tensor<"int64"> {
  const tensor = Tensor.zeros("int64", shape);
  for (let i = 0; i < tensor.data.length; i++) tensor.data[i] = BigInt(valueAt(i));
  return tensor;
}

/** One tensor of rows of different lengths, padded with zeros that the mask leaves out. One row is taken as it is. */
function paddedRows(rows: readonly EncoderRow[]): EncoderRow {
  const [first] = rows as [EncoderRow];
  if (rows.length === 1) return first;
  const length = Math.max(...rows.map(({ hiddenStates }) => hiddenStates.shape[1] as number));
  const width = first.hiddenStates.shape[2] as number;
  const hiddenStates = Tensor.zeros("float32", [rows.length, length, width]);
  const attentionMask = Tensor.zeros("int64", [rows.length, length]);
  for (const [i, row] of rows.entries()) {
    hiddenStates.data.set(row.hiddenStates.data, i * length * width);
    attentionMask.data.set(row.attentionMask.data, i * length);
  }
  return { hiddenStates, attentionMask };
}
