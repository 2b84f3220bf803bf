/** A checkpoint's way of writing texts: it reads each token once, and keeps its keys and values for the steps after. */
import { NeuronBlipError } from "../../../errors.js";
import type { NextTokenLogits, RowSequence } from "../../../generation/search.js";
import { batchesOf } from "../../../torch/batch.js";
import type { Functions } from "../../../torch/part.js";
import { Tensor } from "../../../torch/tensor.js";
import { checkInput, tensorFrom } from "../../../torch/torch-values.js";
import type { Decoder, DecodingOptions, RankingPart } from "../../decoder.js";
import type { EncoderRow } from "../../encoder-row.js";
import type { KeysValuesDtype } from "./checkpoint-config.js";

/** The inputs of one step of `TextDecoderCached`: N texts of T new tokens, each after T0 that were read before. */
export interface CachedDecoderInputs {
  /** int64 [N, T]: the new tokens. */
  inputIds: Tensor<"int64">;
  /** What the step before returned, [layers, 2, P, heads, T0, head size]; `emptyPast` at first. */
  pastKeysValues: Tensor;
  /** int64 [N]: which of the P rows of the past each text continues. */
  parents: Tensor<"int64">;
  /** From `encoderKeysValues`, [layers, 2, Q, heads, length, head size]. */
  encoderKeysValues: Tensor;
  /** int64 [N]: which of the Q rows each text attends to. */
  encoderRows: Tensor<"int64">;
  /** int64 [Q, length]: which positions of them count. */
  encoderAttentionMask: Tensor<"int64">;
}

export interface CachedDecoderOutput {
  /** float32 [N, vocabulary size]: of the token after each text. */
  logits: Tensor<"float32">;
  /** [layers, 2, N, heads, T0 + T, head size] */
  presentKeysValues: Tensor;
}

/** A checkpoint's text decoder: any number of texts, of any length. */
export class TextDecoderCached {
  readonly #functions: Functions;
  readonly #vocabSize: number;
  readonly #dtype: KeysValuesDtype;
  /** No past: [layers, 2, 1, heads, 0, head size]. */
  readonly emptyPast: Tensor;

  /**
   * @param dtype of the keys and values.
   * @param shape of them: their layers, heads and the width of a head.
   */
  constructor(
    functions: Functions,
    dtype: KeysValuesDtype,
    { layers, heads, headSize }: { layers: number; heads: number; headSize: number },
    { vocabSize }: { vocabSize: number },
  ) {
    this.#functions = functions;
    this.#vocabSize = vocabSize;
    this.#dtype = dtype;
    this.emptyPast = Tensor.zeros(dtype, [layers, 2, 1, heads, 0, headSize]);
  }

  /**
   * What each step attends to, computed once.
   * @param hiddenStates float32 [Q, length, hidden size]: questions' embeddings, or for captions pictures'.
   * @returns [layers, 2, Q, heads, length, head size], float32, or bfloat16 where the model was loaded in it and the CPU has it.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async encoderKeysValues(hiddenStates: Tensor): Promise<Tensor> {
    checkInput("hiddenStates", hiddenStates, "float32", ["any", "any", "any"]);
    const output = await this.#functions.call("encoder_keys_values", [hiddenStates]);
    return tensorFrom(output, "encoder_keys_values", 0, this.#functions.path, this.#dtype);
  }

  /** One step. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `ARTIFACT_MISMATCH`, `DISPOSED`. */
  async forward(inputs: CachedDecoderInputs): Promise<CachedDecoderOutput> {
    const { inputIds, pastKeysValues, parents, encoderKeysValues, encoderRows, encoderAttentionMask } = inputs;
    checkInput("inputIds", inputIds, "int64", ["any", "any"]);
    const [count = 0] = inputIds.shape;
    checkInput("parents", parents, "int64", [count]);
    checkInput("encoderRows", encoderRows, "int64", [count]);
    const { path } = this.#functions;
    const output = await this.#functions.call("next_token_logits", [
      inputIds,
      pastKeysValues,
      parents,
      encoderKeysValues,
      encoderRows,
      encoderAttentionMask,
    ]);
    const logits = tensorFrom(output, "logits", 0, path);
    const expected = [count, this.#vocabSize];
    if (logits.shape.join() !== expected.join()) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `"${path}" returned logits of [${logits.shape.join(", ")}], not [${expected.join(", ")}]: it does not belong to this ` +
          "config.json.",
      );
    }
    return { logits, presentKeysValues: tensorFrom(output, "present_keys_values", 1, path, this.#dtype) };
  }
}

/** The most sequences of one call of the decoder. */
const ROWS_AT_ONCE = 64;

/**
 * The most positions that the rows of one call attend to, together: the keys and values of one take 74 KB in fp32 (those of a
 * picture 42 MB), and each row of a call has its own.
 */
const POSITIONS_AT_ONCE = 4096;

/** Rows of the input whose keys and values are one tensor: those from `first` on. */
interface Encoded {
  readonly first: number;
  readonly length: number;
  readonly keyValues: Tensor;
  readonly attentionMask: Tensor<"int64">;
}

/** Sequences of one length that the decoder has read, a row for each; of no length, where all sequences begin. */
interface Past {
  readonly length: number;
  readonly encoded: Encoded;
  readonly keyValues: Tensor;
  /** The sequences' keys: see `keyOf`. */
  readonly keys: readonly string[];
}

/** A sequence whose next token's logits are wanted. */
interface Wanted {
  /** Where its logits go. */
  readonly index: number;
  readonly row: number;
  readonly tokenIds: readonly number[];
  /** The row of the past that it continues. */
  readonly parent: number;
}

/** Writes by a checkpoint's decoder. */
export class CachedDecoder implements Decoder {
  readonly rankingPart: RankingPart = "text_decoder_cached";
  readonly #textDecoder: TextDecoderCached;

  constructor(textDecoder: TextDecoderCached) {
    this.#textDecoder = textDecoder;
  }

  async decode<T>(
    rows: readonly EncoderRow[],
    use: (nextTokenLogits: NextTokenLogits) => Promise<T>,
    options: DecodingOptions = {},
  ): Promise<T> {
    const decoding = new CachedDecoding(this.#textDecoder, rows, options);
    try {
      return await use((sequences) => decoding.step(sequences));
    } finally {
      decoding.free();
    }
  }
}

/** Runs live sequences, of whichever rows, through the decoder: each token of each sequence once. */
class CachedDecoding {
  readonly #decoder: TextDecoderCached;
  readonly #rows: readonly EncoderRow[];
  readonly #revisits: boolean;
  /** How many rows one call of the decoder takes. */
  readonly #rowsAtOnce: number;
  /** Where sequences begin, by the first of the rows that are encoded together. */
  readonly #beginnings = new Map<number, Promise<Past>>();
  readonly #pasts = new Set<Past>();
  /** Where each sequence that was read is, by its key. */
  readonly #read = new Map<string, { readonly past: Past; readonly row: number }>();

  /** @param rows what each row of the input attends to, of any lengths. */
  constructor(decoder: TextDecoderCached, rows: readonly EncoderRow[], { revisits = false }: DecodingOptions) {
    this.#decoder = decoder;
    this.#rows = rows;
    this.#revisits = revisits;
    const longest = Math.max(1, ...rows.map(({ hiddenStates: { shape } }) => shape[1] ?? 1));
    this.#rowsAtOnce = Math.max(1, Math.min(ROWS_AT_ONCE, Math.floor(POSITIONS_AT_ONCE / longest)));
  }

  /** One step: see NextTokenLogits. The sequences may be of any lengths; those that continue earlier ones are read from there. */
  async step(sequences: readonly RowSequence[]): Promise<Float32Array[]> {
    const before = [...this.#pasts];
    const results: Float32Array[] = [];
    const lengths = new Set(sequences.map(({ tokenIds }) => tokenIds.length));
    const shortestFirst = [...lengths].sort((one, other) => one - other);
    // A longer one can continue a shorter one of the same step.
    for (const length of shortestFirst) {
      // Those that continue one past go together.
      const byPast = new Map<Past, Wanted[]>();
      for (const [index, { row, tokenIds }] of sequences.entries()) {
        if (tokenIds.length !== length) continue;
        const read = this.#read.get(keyOf(row, tokenIds.slice(0, -1)));
        const past = read?.past ?? (await this.#beginningOf(row));
        const group = byPast.get(past) ?? [];
        byPast.set(past, group);
        group.push({ index, row, tokenIds, parent: read?.row ?? 0 });
      }
      for (const [past, group] of byPast) {
        for (const { rows: slice } of batchesOf(group, [this.#rowsAtOnce]))
          await this.#call(past, slice, length, results);
      }
    }
    const [shortest = 0] = shortestFirst;
    const done = this.#revisits ? [...this.#pasts].filter(({ length }) => length < shortest - 1) : before;
    for (const past of done) this.#forget(past);
    return results;
  }

  /** Frees what was kept; not to be called while a step is under way. */
  free(): void {
    for (const past of this.#pasts) this.#forget(past);
    for (const beginning of this.#beginnings.values()) {
      void beginning.then(({ encoded }) => encoded.keyValues.dispose()).catch(() => {});
    }
    this.#beginnings.clear();
  }

  async #call(past: Past, slice: readonly Wanted[], length: number, results: Float32Array[]): Promise<void> {
    const { encoded } = past;
    const unread = length - past.length;
    const ids = slice.flatMap(({ tokenIds }) => tokenIds.slice(-unread));
    const inputIds = int64(ids, [slice.length, unread]);
    const parents = int64(slice.map(({ parent }) => parent));
    const encoderRows = int64(slice.map(({ row }) => row - encoded.first));
    try {
      const { logits, presentKeysValues } = await this.#decoder.forward({
        inputIds,
        pastKeysValues: past.keyValues,
        parents,
        encoderKeysValues: encoded.keyValues,
        encoderRows,
        encoderAttentionMask: encoded.attentionMask,
      });
      const keys = slice.map(({ row, tokenIds }) => keyOf(row, tokenIds));
      const present = { length, encoded, keyValues: presentKeysValues, keys };
      this.#pasts.add(present);
      for (const [row, key] of keys.entries()) this.#read.set(key, { past: present, row });
      const { data } = logits;
      const vocabSize = data.length / slice.length;
      for (const [i, { index }] of slice.entries()) results[index] = data.subarray(i * vocabSize, (i + 1) * vocabSize);
      // Its memory lives on in the results.
      logits.dispose();
    } finally {
      for (const tensor of [inputIds, parents, encoderRows]) tensor.dispose();
    }
  }

  #forget(past: Past): void {
    this.#pasts.delete(past);
    for (const key of past.keys) if (this.#read.get(key)?.past === past) this.#read.delete(key);
    past.keyValues.dispose();
  }

  /** Where the sequences of a row, and of its neighbours, begin: encoded when the first of them is asked for. */
  #beginningOf(row: number): Promise<Past> {
    const first = row - (row % this.#rowsAtOnce);
    const known = this.#beginnings.get(first);
    if (known !== undefined) return known;
    const { hiddenStates, attentionMask } = paddedRows(this.#rows.slice(first, first + this.#rowsAtOnce));
    const beginning = this.#decoder.encoderKeysValues(hiddenStates).then((keyValues) => {
      const encoded = { first, length: attentionMask.shape[1] ?? 0, keyValues, attentionMask };
      return { length: 0, encoded, keyValues: this.#decoder.emptyPast, keys: [] };
    });
    this.#beginnings.set(first, beginning);
    return beginning;
  }
}

function keyOf(row: number, tokenIds: readonly number[]): string {
  return `${row}:${tokenIds.join()}`;
}

function int64(values: readonly number[], shape: readonly number[] = [values.length]): Tensor<"int64"> {
  return Tensor.from(BigInt64Array.from(values, BigInt), shape);
}

/** One tensor of rows of different lengths, padded with zeros that the mask leaves out. One row is taken as it is. */
function paddedRows(rows: readonly EncoderRow[]): EncoderRow {
  const [first, second] = rows;
  if (first !== undefined && second === undefined) return first;
  const [, , width = 0] = first?.hiddenStates.shape ?? [];
  const length = Math.max(...rows.map(({ attentionMask }) => attentionMask.size));
  const hiddenStates = Tensor.zeros("float32", [rows.length, length, width]);
  const attentionMask = Tensor.zeros("int64", [rows.length, length]);
  for (const [i, row] of rows.entries()) {
    hiddenStates.data.set(row.hiddenStates.data, i * length * width);
    attentionMask.data.set(row.attentionMask.data, i * length);
  }
  return { hiddenStates, attentionMask };
}
