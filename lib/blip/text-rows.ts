import { NeuronBlipError } from "../errors.js";
import { rowsOf } from "../runtime/batch.js";
import { checkRank } from "../runtime/check.js";
import { Tensor } from "../tensor.js";
import { shown } from "../values.js";
import { tooLong } from "./compiled-shapes.js";

/** Texts as tensors, as Hugging Face names them. */
export interface TextTensors {
  /** int64 [n, length], padded on the right, of any length up to the compiled one. */
  inputIds: Tensor;
  /** int64 [n, length]. Default: 1 wherever there is no padding token. */
  attentionMask?: Tensor;
}

/** One text. */
export interface TextRow {
  /** Its tokens, and where more were asked for the padding that follows. */
  ids: readonly bigint[];
  /** How many of them are real. */
  real: number;
}

/**
 * Takes texts apart into rows.
 * @throws NeuronBlipError `INVALID_INPUT` for tensors that are none or do not fit each other, texts without tokens, and
 * padding on the left.
 */
export function textRows(texts: TextTensors, padTokenId: number): TextRow[] {
  if (typeof texts !== "object" || texts === null) {
    throw new NeuronBlipError("INVALID_INPUT", `Give { pixelValues, inputIds, attentionMask }, not ${shown(texts)}.`);
  }
  const { inputIds, attentionMask } = texts;
  checkRank("inputIds", inputIds, "int64", 2);
  const [count = 0, length = 0] = inputIds.shape;
  if (attentionMask !== undefined) {
    checkRank("attentionMask", attentionMask, "int64", 2);
    if (attentionMask.shape[0] !== count || attentionMask.shape[1] !== length) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `attentionMask [${attentionMask.shape}] must have the shape of inputIds [${inputIds.shape}].`,
      );
    }
  }
  const pad = BigInt(padTokenId);
  return Array.from({ length: count }, (_, row) => {
    const ids = [...(inputIds.data as BigInt64Array).subarray(row * length, (row + 1) * length)];
    const mask = (attentionMask?.data as BigInt64Array | undefined)?.subarray(row * length, (row + 1) * length);
    const isReal = ids.map((id, i) => (mask ? mask[i] !== 0n : id !== pad));
    const real = isReal.filter(Boolean).length;
    if (real === 0) throw new NeuronBlipError("INVALID_INPUT", `Question ${row} has no tokens.`);
    if (!isReal.slice(0, real).every(Boolean)) {
      throw new NeuronBlipError("INVALID_INPUT", `Question ${row} must be padded on the right.`);
    }
    return { ids, real };
  });
}

/**
 * A row as a part takes it.
 * @param width the compiled length, or the row's own for a part that takes any.
 * @returns int64 [1, width] each: tokens, and 1 over the first `attended`.
 */
export function paddedRow(
  { ids }: TextRow,
  attended: number,
  width: number,
  padTokenId: number,
): { inputIds: Tensor<"int64">; attentionMask: Tensor<"int64"> } {
  const inputIds = Tensor.zeros("int64", [1, width]);
  inputIds.data.fill(BigInt(padTokenId)).set(ids.slice(0, width));
  return { inputIds, attentionMask: onesThenZeros(attended, width) };
}

/** Texts of one call, padded on the right to the longest. @param rows `attended`: how many of its ids each is to have. */
export function paddedTexts(
  rows: readonly (TextRow & { readonly attended: number })[],
  padTokenId: number,
): { inputIds: Tensor<"int64">; attentionMask: Tensor<"int64"> } {
  const length = Math.max(...rows.map(({ attended }) => attended));
  const inputIds = Tensor.zeros("int64", [rows.length, length]);
  const attentionMask = Tensor.zeros("int64", [rows.length, length]);
  inputIds.data.fill(BigInt(padTokenId));
  for (const [i, { ids, real, attended }] of rows.entries()) {
    inputIds.data.set(ids.slice(0, attended), i * length);
    attentionMask.data.fill(1n, i * length, i * length + real);
  }
  return { inputIds, attentionMask };
}

/** An attention mask, int64 [1, width]. */
export function onesThenZeros(ones: number, width: number): Tensor<"int64"> {
  const mask = Tensor.zeros("int64", [1, width]);
  mask.data.fill(1n, 0, ones);
  return mask;
}

/** @throws NeuronBlipError `INPUT_TOO_LONG` for more tokens than the model takes. */
export function checkTextLength(
  row: number,
  length: number,
  shapes: { questionLength: number; isCompiled: boolean },
): void {
  if (length <= shapes.questionLength) return;
  throw tooLong("INPUT_TOO_LONG", `Question ${row}`, length, shapes.questionLength, "question", shapes);
}

/** Pictures as tensors: give one of the two. */
export interface ImageTensors {
  /** float32 [n, 3, height, width]. n may be 1 for many texts on one picture. */
  pixelValues?: Tensor;
  /** float32 [n, image tokens, vision hidden size]: from `encodeImages`, to look at a picture only once. */
  imageEmbeds?: Tensor | readonly Tensor[];
  /**
   * Beside a list of imageEmbeds of [1, image tokens, vision hidden size] each: what `imageKeysValues` made of them, where it
   * is at hand; used by a checkpoint, and passed over elsewhere.
   */
  imageKeysValues?: readonly (Tensor | undefined)[];
}

/**
 * The embeddings of each text's picture.
 * @param encode looks at pictures: `encodeImages`.
 * @throws NeuronBlipError `INVALID_INPUT` for tensors that are none, and for another number of pictures than of texts.
 */
export async function imageRows(
  { pixelValues, imageEmbeds }: ImageTensors,
  count: number,
  encode: (pixelValues: Tensor) => Promise<Tensor<"float32">[]>,
): Promise<Tensor<"float32">[]> {
  if ((pixelValues === undefined) === (imageEmbeds === undefined)) {
    throw new NeuronBlipError("INVALID_INPUT", "Give either pixelValues or imageEmbeds.");
  }
  const given = pixelValues === undefined ? [imageEmbeds as Tensor | readonly Tensor[]].flat() : [pixelValues];
  for (const tensor of given) {
    checkRank(pixelValues ? "pixelValues" : "imageEmbeds", tensor, "float32", pixelValues ? 4 : 3);
  }
  const pictures = given.reduce((sum, tensor) => sum + (tensor.shape[0] as number), 0);
  if (pictures !== count && pictures !== 1) {
    throw new NeuronBlipError("INVALID_INPUT", `${pictures} pictures were given for ${count} texts.`);
  }
  const images = pixelValues ? await encode(pixelValues) : (given as Tensor<"float32">[]).flatMap(rowsOf);
  return Array.from({ length: count }, (_, i) => (images.length === 1 ? images[0] : images[i]) as Tensor<"float32">);
}

/**
 * The keys and values of each text's picture, where they were given.
 * @throws NeuronBlipError `INVALID_INPUT` where they do not go with the embeddings.
 */
export function keysValuesOf({ imageEmbeds, imageKeysValues }: ImageTensors, count: number): (Tensor | undefined)[] {
  if (imageKeysValues === undefined) return [];
  const isList = Array.isArray(imageEmbeds) && Array.isArray(imageKeysValues);
  if (!isList || imageEmbeds.length !== imageKeysValues.length || imageEmbeds.some(({ shape }) => shape[0] !== 1)) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      "imageKeysValues must be a list beside a list of imageEmbeds of one picture each, and as long.",
    );
  }
  return Array.from({ length: count }, (_, i) => imageKeysValues[imageKeysValues.length === 1 ? 0 : i]);
}
