/** A call's pictures and texts, paired, prepared and encoded, so that one that is bad can fail alone. */
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import { EncodedImage, type Picture } from "./encoded-image.js";
import { NeuronBlipError, throwIfAborted } from "./errors.js";
import type { BlipProcessor, ProcessTextOptions, TextInputs } from "./processing/blip-processor.js";
import { rowsOf, slicesOf, stackRows } from "./runtime/batch.js";
import { checkInput } from "./runtime/check.js";
import type { Replicas } from "./runtime/replicas.js";
import { handleOf, type Tensor } from "./tensor.js";

/** What is kept in memory at a time: each prepared picture, and each looked at, takes up to 2 MB. */
const PICTURES_AT_ONCE = 32;

/** Each pair that is generated for has its encoded question, and at every step a vocabulary of logits for each of its beams. */
const PAIRS_AT_ONCE = 256;

/** A picture, or several; a text, or several; where both are several, the first belongs to the first. */
export interface PairLists {
  images: Picture | readonly Picture[];
  /** undefined: no text. */
  texts: string | readonly string[] | undefined;
}

/** One picture with its text, ready for a replica. */
export interface PreparedPair {
  /** Its index in the call's list. */
  place: number;
  imageEmbeds: Tensor<"float32">;
  /** int64 [1, length] each, all rows of a call padded to one length. */
  text: TextInputs | undefined;
}

export interface PairOptions {
  /** Whether a bad pair fails alone. */
  settled?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** How to encode the texts; undefined where there are none. */
  text: ProcessTextOptions | undefined;
}

interface Pair {
  place: number;
  image: Picture;
  text: string | undefined;
}

/**
 * Runs every pair.
 * @param run the model, on several pairs.
 * @returns each pair's result or error, in order.
 * @throws NeuronBlipError `ABORTED`, `DISPOSED`; and, unless `settled`, the first pair's error.
 */
export async function runPairs<T>(
  lists: PairLists,
  processor: BlipProcessor,
  replicas: Replicas<NeuronBlipPreTrainedModel>,
  options: PairOptions,
  run: (pairs: readonly PreparedPair[]) => Promise<readonly T[]>,
): Promise<PromiseSettledResult<T>[]> {
  throwIfAborted(options.signal);
  const pairs = pairUp(lists);
  const failed = (error: unknown, ends: readonly string[] = ["ABORTED", "DISPOSED"]): PromiseRejectedResult => {
    const isEnd = error instanceof NeuronBlipError && ends.includes(error.code);
    if (isEnd || !options.settled) throw error;
    return { status: "rejected", reason: error };
  };
  // Texts first: they fail at no cost.
  const results = new Map<Pair, PromiseSettledResult<T>>();
  const texts = prepareTexts(pairs, processor, options.text, (pair, error) => results.set(pair, failed(error)));
  const readable = pairs.filter((pair) => !results.has(pair));
  for (const portion of portionsOf(readable)) {
    const images = [...new Set(portion.map(({ image }) => image))];
    const outcomes = await encodeImages(images, processor, replicas, options.signal).catch((error) =>
      images.map(() => failed(error)),
    );
    const encoded = new Map(images.map((image, i) => [image, outcomes[i] as PromiseSettledResult<EncodedImage>]));
    try {
      const ready: Pair[] = [];
      for (const pair of portion) {
        const outcome = encoded.get(pair.image);
        // A picture that was disposed is that picture's fault alone.
        if (outcome?.status === "rejected") results.set(pair, failed(outcome.reason, ["ABORTED"]));
        else ready.push(pair);
      }
      for (const some of slicesOf(ready, PAIRS_AT_ONCE)) {
        const prepared = some.map((pair) => {
          const { value } = encoded.get(pair.image) as PromiseFulfilledResult<EncodedImage>;
          return { place: pair.place, imageEmbeds: value.imageEmbeds, text: texts.get(pair) };
        });
        try {
          const values = await run(prepared);
          for (const [i, pair] of some.entries()) results.set(pair, { status: "fulfilled", value: values[i] as T });
        } catch (error) {
          for (const pair of some) results.set(pair, failed(error));
        }
      }
    } finally {
      disposeEncoded(encoded);
    }
  }
  return pairs.map((pair) => results.get(pair) as PromiseSettledResult<T>);
}

/**
 * Looks at pictures, in as few calls as the compiled batch allows; those that have been looked at are taken as they are.
 * @returns each picture's result or error, in order.
 */
export async function encodeImages(
  images: readonly Picture[],
  processor: BlipProcessor,
  replicas: Replicas<NeuronBlipPreTrainedModel>,
  signal: AbortSignal | undefined,
): Promise<PromiseSettledResult<EncodedImage>[]> {
  const { batchSizes, imageTokens, visionHiddenSize } = replicas.one.shapes;
  const prepared = await Promise.allSettled(
    images.map(async (image) =>
      image instanceof EncodedImage
        ? checkEncoded(image, [1, imageTokens, visionHiddenSize])
        : processor.processImages(image, signal ? { signal } : {}),
    ),
  );
  const values = prepared.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const pixels = values.filter((value) => !(value instanceof EncodedImage)) as Tensor<"float32">[];
  try {
    const embeds = await replicas.share(
      pixels,
      batchSizes,
      (model, share) => model.encodeImages(stackRows(share, share.length), signal),
      { signal },
    );
    const looked = new Map(pixels.map((tensor, i) => [tensor, new EncodedImage(embeds[i] as Tensor<"float32">)]));
    return prepared.map((outcome) => {
      if (outcome.status === "rejected" || outcome.value instanceof EncodedImage) {
        return outcome as PromiseSettledResult<EncodedImage>;
      }
      return { status: "fulfilled", value: looked.get(outcome.value) as EncodedImage };
    });
  } finally {
    for (const tensor of pixels) tensor.dispose();
  }
}

/** @throws NeuronBlipError `DISPOSED`; `INVALID_INPUT` for a picture that a model of other shapes looked at. */
function checkEncoded(image: EncodedImage, shape: readonly number[]): EncodedImage {
  const { imageEmbeds } = image;
  handleOf(imageEmbeds);
  checkInput("imageEmbeds", imageEmbeds, "float32", shape);
  return image;
}

/** Gives back what encodeImages made; pictures that came encoded are their owner's. */
export function disposeEncoded(encoded: ReadonlyMap<Picture, PromiseSettledResult<EncodedImage>>): void {
  for (const [image, outcome] of encoded) {
    if (outcome.status === "fulfilled" && outcome.value !== image) outcome.value.dispose();
  }
}

/** @throws the reason of a rejected result. */
export function fulfilled<T>(outcome: PromiseSettledResult<T> | undefined): T {
  if (outcome?.status === "fulfilled") return outcome.value;
  throw outcome?.reason;
}

/** Several texts as one batch. */
export function stackTexts(rows: readonly TextInputs[]): TextInputs {
  return {
    inputIds: stackRows(
      rows.map(({ inputIds }) => inputIds),
      rows.length,
    ),
    attentionMask: stackRows(
      rows.map(({ attentionMask }) => attentionMask),
      rows.length,
    ),
  };
}

/** The texts of a batch, each by itself. */
export function textRowsOf({ inputIds, attentionMask }: TextInputs): TextInputs[] {
  const masks = rowsOf(attentionMask);
  return rowsOf(inputIds).map((row, i) => ({ inputIds: row, attentionMask: masks[i] as Tensor<"int64"> }));
}

function pairUp({ images, texts }: PairLists): Pair[] {
  const count = Array.isArray(images) ? images.length : Array.isArray(texts) ? texts.length : 1;
  if (Array.isArray(images) && Array.isArray(texts) && images.length !== texts.length) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${images.length} pictures were given with ${texts.length} texts. Give as many, or one of either.`,
    );
  }
  return Array.from({ length: count }, (_, i) => ({
    place: i,
    image: Array.isArray(images) ? images[i] : images,
    text: Array.isArray(texts) ? texts[i] : texts,
  }));
}

/** Encodes the texts, padded together; those that cannot be go to `fail`. */
function prepareTexts(
  pairs: readonly Pair[],
  processor: BlipProcessor,
  options: ProcessTextOptions | undefined,
  fail: (pair: Pair, error: unknown) => void,
): Map<Pair, TextInputs> {
  if (options === undefined) return new Map();
  const good = pairs.filter((pair) => {
    try {
      // One that is no string at all, processText refuses.
      processor.processText(pair.text as string, options);
      return true;
    } catch (error) {
      fail(pair, error);
      return false;
    }
  });
  if (good.length === 0) return new Map();
  const rows = textRowsOf(
    processor.processText(
      good.map(({ text }) => text as string),
      options,
    ),
  );
  return new Map(good.map((pair, i) => [pair, rows[i] as TextInputs]));
}

/** Splits pairs so that each portion has few different pictures, and one picture's neighbouring texts stay together. */
function portionsOf(pairs: readonly Pair[]): Pair[][] {
  const portions: Pair[][] = [];
  let seen = new Set<Picture>();
  for (const pair of pairs) {
    if (portions.length === 0 || (!seen.has(pair.image) && seen.size === PICTURES_AT_ONCE)) {
      portions.push([]);
      seen = new Set();
    }
    seen.add(pair.image);
    (portions.at(-1) as Pair[]).push(pair);
  }
  return portions;
}
