import { NeuronBlipForImageTextRetrieval } from "../blip/neuron-blip-for-image-text-retrieval.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { SettledOption, TextOptions } from "./encode-text.js";
import type { LoadedModel, PairJob } from "./loaded-model.js";
import { type Match, toMatch } from "./results.js";
import { checkModel, forEachPair, holdPicture, type ResultFor } from "./task.js";

export interface MatchOptions extends TextOptions, SettledOption {
  /** Checked between steps. */
  signal?: AbortSignal;
}

/** Says whether texts describe pictures: see `NeuronBlip.match`. */
export async function match(
  model: LoadedModel,
  images: Picture | readonly Picture[],
  texts: string | readonly string[],
  given: MatchOptions,
): Promise<ResultFor<Match>> {
  const options = readOptions(given, "match", ["settled", "truncation", "signal", "callId"]);
  const { settled, truncation = false, signal, callId } = options;
  checkModel(model, NeuronBlipForImageTextRetrieval, "BlipForImageTextRetrieval", "match");
  const { processor, replica, batch } = model;
  const maxLength = replica.shapes.questionLength;
  const encode = (text: string) => processor.tokenizer.encodeSteps(text, { maxLength, truncation });
  const job: PairJob<NeuronBlipForImageTextRetrieval, Match> = {
    ...batch,
    key: "match",
    work: async (replica, rows, signal) => {
      const pictures = rows.map(({ image }) => image);
      return (await replica.matchRows(rows, pictures, signal)).map(toMatch);
    },
    hold: holdPicture,
  };
  return forEachPair(model, { images, texts }, { task: "match", callId, settled, signal, encode }, job);
}
