import { NeuronBlipForImageTextRetrieval } from "../blip/neuron-blip-for-image-text-retrieval.js";
import type { TokenIds } from "../blip/token-ids.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { fulfilled } from "../util/settled.js";
import { inTurns } from "../util/turns.js";
import { cosineSteps, packed } from "./cosines.js";
import { textEncoding } from "./encode-text.js";
import { embedsOf, holdPicture, jobOf, type LoadedModel, replicaAs } from "./loaded-model.js";
import type { MatchOptions } from "./match.js";
import { encodeSteps, PAIRS_AT_ONCE, type PairLists, type PreparedPair, runPairs } from "./run-pairs.js";

export type SimilarityOptions = Omit<MatchOptions, "settled">;

/** Says how alike pictures and texts are: see `NeuronBlip.similarity`. */
export async function similarity(
  model: LoadedModel,
  images: readonly Picture[],
  texts: readonly string[],
  options: SimilarityOptions,
): Promise<number[][]> {
  const { truncation = false, signal } = readOptions(options, "similarity", ["truncation", "signal"]);
  const { shapes } = replicaAs(model, NeuronBlipForImageTextRetrieval, "BlipForImageTextRetrieval", "similarity");
  if (!Array.isArray(images) || !Array.isArray(texts)) {
    throw new NeuronBlipError("INVALID_INPUT", "similarity takes an array of pictures and an array of texts.");
  }
  const { queue, batch } = model;
  const encode = textEncoding(model.processor, { maxLength: shapes.questionLength, truncation });
  const imageJob = jobOf(NeuronBlipForImageTextRetrieval, {
    ...batch,
    key: "image features",
    work: (replica, rows: readonly PreparedPair[], signal) => replica.getImageFeatures(embedsOf(rows), signal),
    hold: holdPicture,
  });
  const textJob = jobOf(NeuronBlipForImageTextRetrieval, {
    ...batch,
    key: "text features",
    work: (replica, rows: readonly TokenIds[], signal) => replica.textFeaturesOf(rows, signal),
  });
  return model.call(async (ticket) => {
    throwIfAborted(signal);
    if (texts.length === 0) return images.map(() => []);
    const given = texts.slice();
    const list = { count: given.length, text: (place: number) => given[place] as string };
    const encoded = await inTurns(
      encodeSteps(list, encode, (_, error) => {
        throw error;
      }),
      signal,
    );
    const run = { signal, ticket };
    const pairs: PairLists = { images, texts: undefined };
    const imageFeatures = await runPairs(pairs, model.images, { ...run, encode: undefined }, (portion) =>
      queue.run(portion, imageJob, run),
    );
    // Each portion's in one array: so many would take long to collect, and the tensors that they are views of, too.
    const textFeatures: Float32Array[] = [];
    for (let at = 0; at < given.length; at += PAIRS_AT_ONCE) {
      const count = Math.min(PAIRS_AT_ONCE, given.length - at);
      const portion = Array.from({ length: count }, (_, i) => encoded?.(at + i) as TokenIds);
      textFeatures.push(packed(await queue.runAll(portion, textJob, run)));
    }
    const images32 = imageFeatures.map((image) => fulfilled(image).data);
    return inTurns(cosineSteps(images32, textFeatures), signal);
  });
}
