import { NeuronBlipError } from "../errors.js";
import { rowsOf, type Tensor } from "../torch/tensor.js";
import { checkInput } from "../torch/torch-values.js";
import { itemAt } from "../util/item-at.js";
import { isList, shown } from "../util/values.js";
import type { TokenIds } from "./token-ids.js";

/** Texts as tensors, as Hugging Face names them. */
export interface TextTensors {
  /** int64 [n, length], padded on the right, of any length up to the compiled one. */
  inputIds: Tensor;
  /** int64 [n, length]. Default: 1 wherever there is no padding token. */
  attentionMask?: Tensor;
}

/**
 * Turns texts as Hugging Face's tensors into token ids.
 * @throws NeuronBlipError `INVALID_INPUT` for tensors that are none or do not fit each other, texts without tokens, and
 * padding on the left.
 */
export function tokenIdsOf(texts: TextTensors, padTokenId: number): TokenIds[] {
  if (typeof texts !== "object" || texts === null) {
    throw new NeuronBlipError("INVALID_INPUT", `Give { pixelValues, inputIds, attentionMask }, not ${shown(texts)}.`);
  }
  const { inputIds, attentionMask } = texts;
  checkInput("inputIds", inputIds, "int64", 2);
  const [count = 0, length = 0] = inputIds.shape;
  if (attentionMask !== undefined) {
    checkInput("attentionMask", attentionMask, "int64", 2);
    if (attentionMask.shape[0] !== count || attentionMask.shape[1] !== length) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `attentionMask [${attentionMask.shape}] must have the shape of inputIds [${inputIds.shape}].`,
      );
    }
  }
  return Array.from({ length: count }, (_, row) => {
    const [start, end] = [row * length, (row + 1) * length];
    const ids = Array.from(inputIds.data.subarray(start, end), Number);
    const mask = attentionMask?.data.subarray(start, end);
    const isToken = ids.map((id, i) => (mask ? mask[i] !== 0n : id !== padTokenId));
    const tokens = isToken.filter(Boolean).length;
    if (tokens === 0) throw new NeuronBlipError("INVALID_INPUT", `Question ${row} has no tokens.`);
    if (!isToken.slice(0, tokens).every(Boolean)) {
      throw new NeuronBlipError("INVALID_INPUT", `Question ${row} must be padded on the right.`);
    }
    return { ids, length: tokens, paddedLength: length };
  });
}

/** Pictures as tensors: give one of the two. */
export interface ImageTensors {
  /** float32 [n, 3, height, width]. n may be 1 for many texts on one picture. */
  pixelValues?: Tensor;
  /** float32 [n, image tokens, vision hidden size]: from `encodeImages`, to encode a picture only once. */
  imageEmbeds?: Tensor | readonly Tensor[];
  /**
   * Beside a list of imageEmbeds of [1, image tokens, vision hidden size] each: what `imageKeysValues` made of them, where it
   * is at hand; used by a checkpoint, and passed over elsewhere.
   */
  imageKeysValues?: readonly (Tensor | undefined)[];
}

/**
 * Returns the embeddings of each text's picture.
 * @param encode encodes pictures: `encodeImages`.
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
  const embeds = imageEmbeds === undefined ? [] : isList(imageEmbeds) ? imageEmbeds : [imageEmbeds];
  const given = (pixelValues === undefined ? embeds : [pixelValues]).map((tensor) => {
    checkInput(pixelValues ? "pixelValues" : "imageEmbeds", tensor, "float32", pixelValues ? 4 : 3);
    return tensor;
  });
  const pictures = given.reduce((sum, { shape: [count = 0] }) => sum + count, 0);
  if (pictures !== count && pictures !== 1) {
    throw new NeuronBlipError("INVALID_INPUT", `${pictures} pictures were given for ${count} texts.`);
  }
  const images = pixelValues ? await encode(pixelValues) : given.flatMap((tensor) => rowsOf(tensor));
  return Array.from({ length: count }, (_, i) => itemAt(images, images.length === 1 ? 0 : i));
}

/**
 * Returns the keys and values of each text's picture, where they were given.
 * @throws NeuronBlipError `INVALID_INPUT` where they do not go with the embeddings.
 */
export function keyValuesOf({ imageEmbeds, imageKeysValues }: ImageTensors, count: number): (Tensor | undefined)[] {
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
