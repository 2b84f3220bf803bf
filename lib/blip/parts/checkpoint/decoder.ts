/** A checkpoint's way of writing texts: it reads each token once, and keeps its keys and values for the steps after. */
import { NeuronBlipError } from "../../../errors.js";
import type { NextTokenLogits, RowSequence } from "../../../generation/search.js";
import type { Functions } from "../../../torch/part.js";
import { attentionMaskOf, batchesOf, paddedRows, stackRows, Tensor } from "../../../torch/tensor.js";
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
   * Computes once what each step attends to.
   * @param hiddenStates float32 [Q, length, hidden size]: questions' embeddings, or for captions pictures'.
   * @returns [layers, 2, Q, heads, length, head size], float32, or bfloat16 where the model was loaded in it and the CPU has it.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async encoderKeysValues(hiddenStates: Tensor): Promise<Tensor> {
    checkInput("hiddenStates", hiddenStates, "float32", ["any", "any", "any"]);
    const output = await this.#functions.call("encoder_keys_values", [hiddenStates]);
    return tensorFrom(output, "encoder_keys_values", 0, this.#functions.path, this.#dtype);
  }

  /** Computes one step. @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `ARTIFACT_MISMATCH`, `DISPOSED`. */
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
 * picture 42 MB).
 */
const POSITIONS_AT_ONCE = 4096;

/** Rows of the input that are encoded together. */
interface Encoded {
  /** The first of the rows. */
  readonly first: number;
  readonly keyValues: Tensor;
  readonly attentionMask: Tensor<"int64">;
}

/** Sequences of one length that the decoder has read, a row for each; of no length, where all sequences begin. */
interface Past {
  readonly length: number;
  readonly encoded: Encoded;
  readonly keyValues: Tensor;
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

/** What one generation keeps from step to step. */
interface Decoding {
  /** How many rows one call of the decoder takes. */
  readonly rowsAtOnce: number;
  readonly revisits: boolean;
  /** Where sequences begin: for each `rowsAtOnce` rows of the input. */
  readonly beginnings: Past[];
  readonly pasts: Set<Past>;
  /** Where each sequence that was read is: by its row and tokens, "0:30522,2748". */
  readonly read: Map<string, { readonly past: Past; readonly parent: number }>;
}

/** Writes by a checkpoint's decoder: each token of each sequence is read once. */
export class CachedDecoder implements Decoder {
  readonly rankingPart: RankingPart = "text_decoder_cached";
  readonly #textDecoder: TextDecoderCached;

  constructor(textDecoder: TextDecoderCached) {
    this.#textDecoder = textDecoder;
  }

  async decode<T>(
    rows: readonly EncoderRow[],
    use: (nextTokenLogits: NextTokenLogits) => Promise<T>,
    { revisits = false }: DecodingOptions = {},
  ): Promise<T> {
    const longest = Math.max(1, ...rows.map(({ hiddenStates: { shape } }) => shape[1] ?? 1));
    const rowsAtOnce = Math.max(1, Math.min(ROWS_AT_ONCE, Math.floor(POSITIONS_AT_ONCE / longest)));
    const decoding: Decoding = { rowsAtOnce, revisits, beginnings: [], pasts: new Set(), read: new Map() };
    const { beginnings, pasts } = decoding;
    try {
      for (const { rows: group } of batchesOf(rows, [rowsAtOnce])) {
        // Of different lengths: the mask leaves out what fills the shorter ones up.
        const states = group.map((row) => row.hiddenStates);
        const hiddenStates = stackRows(states, states.length, "filled");
        const attended = group.map((row) => row.attended);
        const attentionMask = attentionMaskOf(attended, hiddenStates.shape[1] ?? 0);
        const keyValues = await this.#textDecoder.encoderKeysValues(hiddenStates);
        const encoded = { first: beginnings.length * rowsAtOnce, keyValues, attentionMask };
        beginnings.push({ length: 0, encoded, keyValues: this.#textDecoder.emptyPast });
      }
      return await use((sequences) => this.#step(decoding, sequences));
    } finally {
      for (const { keyValues } of pasts) keyValues.dispose();
      for (const { encoded } of beginnings) encoded.keyValues.dispose();
    }
  }

  /**
   * Computes one step: see NextTokenLogits. The sequences may be of any lengths; those that continue earlier ones are read from
   * there.
   */
  async #step(decoding: Decoding, sequences: readonly RowSequence[]): Promise<Float32Array[]> {
    const { rowsAtOnce, revisits, beginnings, pasts, read } = decoding;
    const before = new Set(pasts);
    const results: Float32Array[] = [];
    const lengths = new Set(sequences.map(({ tokenIds }) => tokenIds.length));
    const shortestFirst = [...lengths].sort((one, other) => one - other);
    // A longer one can continue a shorter one of the same step.
    for (const length of shortestFirst) {
      // Those that continue one past go together.
      const byPast = new Map<Past, Wanted[]>();
      for (const [index, { row, tokenIds }] of sequences.entries()) {
        if (tokenIds.length !== length) continue;
        const found = read.get(`${row}:${tokenIds.slice(0, -1)}`);
        const past = found?.past ?? beginnings[Math.floor(row / rowsAtOnce)];
        if (past === undefined) throw new RangeError(`There is no row ${row} to read.`);
        const group = byPast.get(past) ?? [];
        byPast.set(past, group);
        group.push({ index, row, tokenIds, parent: found?.parent ?? 0 });
      }
      for (const [past, group] of byPast) {
        for (const { rows: slice } of batchesOf(group, [rowsAtOnce])) await this.#read(decoding, past, slice, results);
      }
    }
    const [shortest = 0] = shortestFirst;
    for (const past of pasts) {
      if (revisits ? past.length >= shortest - 1 : !before.has(past)) continue;
      pasts.delete(past);
      past.keyValues.dispose();
    }
    for (const [key, { past }] of read) if (!pasts.has(past)) read.delete(key);
    return results;
  }

  /** Reads sequences of one length that continue one past. @param results gets their logits. */
  async #read({ pasts, read }: Decoding, past: Past, slice: readonly Wanted[], results: Float32Array[]): Promise<void> {
    const { encoded } = past;
    const unread = slice.map(({ tokenIds }) => tokenIds.slice(past.length));
    const inputIds = paddedRows(unread, unread[0]?.length ?? 0, 0);
    const count = [slice.length];
    const parents = Tensor.from(
      BigInt64Array.from(slice, ({ parent }) => BigInt(parent)),
      count,
    );
    const encoderRows = Tensor.from(
      BigInt64Array.from(slice, ({ row }) => BigInt(row - encoded.first)),
      count,
    );
    try {
      const { logits, presentKeysValues } = await this.#textDecoder.forward({
        inputIds,
        pastKeysValues: past.keyValues,
        parents,
        encoderKeysValues: encoded.keyValues,
        encoderRows,
        encoderAttentionMask: encoded.attentionMask,
      });
      const [, length = 0] = inputIds.shape;
      const present = { length: past.length + length, encoded, keyValues: presentKeysValues };
      pasts.add(present);
      const [, vocabSize = 0] = logits.shape;
      for (const [i, { index, row, tokenIds }] of slice.entries()) {
        read.set(`${row}:${tokenIds}`, { past: present, parent: i });
        results[index] = logits.data.subarray(i * vocabSize, (i + 1) * vocabSize);
      }
      // Its memory lives on in the results.
      logits.dispose();
    } finally {
      for (const tensor of [inputIds, parents, encoderRows]) tensor.dispose();
    }
  }
}
