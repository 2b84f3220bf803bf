import { NeuronBlipForImageTextRetrieval } from "../blip/neuron-blip-for-image-text-retrieval.js";
import type { TokenIds } from "../blip/token-ids.js";
import { NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { snapshotBytes } from "../images/open-picture.js";
import type { Job } from "../serving/job.js";
import { fulfilled } from "../util/concurrency.js";
import { inTurns } from "../util/turns.js";
import { cosineSteps, packed } from "./cosines.js";
import type { LoadedModel, PairJob } from "./loaded-model.js";
import type { MatchOptions } from "./match.js";
import { encodeSteps, itemsOf, PAIRS_AT_ONCE, type PairLists, PICTURES_AT_ONCE, runPairs } from "./run-pairs.js";
import { checkModel, holdPicture } from "./task.js";

export type SimilarityOptions = Omit<MatchOptions, "settled">;

/** Says how alike pictures and texts are: see `NeuronBlip.similarity`. */
export async function similarity(
  model: LoadedModel,
  images: readonly Picture[],
  texts: readonly string[],
  options: SimilarityOptions,
): Promise<number[][]> {
  const { truncation = false, signal, callId } = readOptions(options, "similarity", ["truncation", "signal", "callId"]);
  checkModel(model, NeuronBlipForImageTextRetrieval, "BlipForImageTextRetrieval", "similarity");
  const { processor, queue, batch, replica } = model;
  const maxLength = replica.shapes.questionLength;
  if (!Array.isArray(images) || !Array.isArray(texts)) {
    throw new NeuronBlipError("INVALID_INPUT", "similarity takes an array of pictures and an array of texts.");
  }
  const encode = (text: string) => processor.tokenizer.encodeSteps(text, { maxLength, truncation });
  const imageJob: PairJob<NeuronBlipForImageTextRetrieval, Float32Array> = {
    ...batch,
    key: "image features",
    work: (replica, rows, signal) => {
      const pictures = rows.map(({ image }) => image);
      return replica.imageFeaturesOf(pictures, signal);
    },
    hold: holdPicture,
  };
  const textJob: Job<NeuronBlipForImageTextRetrieval, TokenIds, Float32Array> = {
    ...batch,
    key: "text features",
    work: (replica, rows, signal) => replica.textFeaturesOf(rows, signal),
  };
  return queue.admit({ task: "similarity", callId }, async (ticket) => {
    throwIfAborted(signal);
    if (texts.length === 0) return images.map(() => []);
    // Now, before the call returns to its caller, who may change them.
    const pictures = images.map((image, i) => (i < PICTURES_AT_ONCE ? snapshotBytes(image) : image));
    const list = { count: texts.length, text: itemsOf<string>(texts) };
    const encoded = await inTurns(
      encodeSteps(list, encode, (_, error) => {
        throw error;
      }),
      signal,
    );
    const run = { signal, ticket };
    const pairs: PairLists = { images: pictures, texts: "" };
    const imageFeatures = await runPairs(model, pairs, { ...run, encode: undefined }, imageJob);
    // Each portion's in one array: so many would take long to collect.
    const textFeatures: Float32Array[] = [];
    for (let at = 0; at < list.count; at += PAIRS_AT_ONCE) {
      const count = Math.min(PAIRS_AT_ONCE, list.count - at);
      const portion = Array.from({ length: count }, (_, i) => encoded(at + i));
      textFeatures.push(packed(await queue.run(portion, textJob, run)));
    }
    const images32 = imageFeatures.map(fulfilled);
    return inTurns(cosineSteps(images32, textFeatures), signal);
  });
}
