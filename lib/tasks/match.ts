import { NeuronBlipForImageTextRetrieval } from "../blip/neuron-blip-for-image-text-retrieval.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { Job } from "../serving/batch-queue.js";
import type { SettledOption, TextOptions } from "./encode-text.js";
import { forEachPair, type ResultFor } from "./for-each-pair.js";
import {
  type AnyModel,
  embedsOf,
  holdPicture,
  type LoadedModel,
  type PreparedPair,
  replicaAs,
  textAboutImage,
} from "./loaded-model.js";
import { type Match, toMatch } from "./results.js";

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
  const matching = (replica: AnyModel) =>
    replicaAs(replica, NeuronBlipForImageTextRetrieval, "BlipForImageTextRetrieval", "match");
  const maxLength = matching(model.anyReplica).shapes.questionLength;
  const encode = (text: string) => model.processor.tokenizer.encodeSteps(text, { maxLength, truncation });
  const job: Job<AnyModel, PreparedPair, Match> = {
    ...model.batch,
    key: "match",
    work: async (replica, rows, signal) => {
      const logits = await matching(replica).matchRows(rows.map(textAboutImage), embedsOf(rows), signal);
      return logits.map(({ data }) => toMatch(data));
    },
    hold: holdPicture,
  };
  return forEachPair(model, { images, texts }, { task: "match", callId, settled, signal, encode }, (pairs, run) =>
    model.queue.run(pairs, job, run),
  );
}
