import { NeuronBlipForImageTextRetrieval } from "../blip/neuron-blip-for-image-text-retrieval.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { type SettledOption, type TextOptions, textEncoding } from "./encode-text.js";
import { forEachPair, mapped, type ResultFor } from "./for-each-pair.js";
import { embedsOf, holdPicture, jobOf, type LoadedModel, replicaAs, textAboutImage } from "./loaded-model.js";
import { type Match, toMatch } from "./results.js";
import type { PreparedPair } from "./run-pairs.js";

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
  const { settled, truncation = false, signal } = readOptions(given, "match", ["settled", "truncation", "signal"]);
  const { shapes } = replicaAs(model, NeuronBlipForImageTextRetrieval, "BlipForImageTextRetrieval", "match");
  const encode = textEncoding(model.processor, { maxLength: shapes.questionLength, truncation });
  const job = jobOf(NeuronBlipForImageTextRetrieval, {
    ...model.batch,
    key: "match",
    work: (replica, rows: readonly PreparedPair[], signal) =>
      replica.matchRows(rows.map(textAboutImage), embedsOf(rows), signal),
    hold: holdPicture,
  });
  return forEachPair(model, { images, texts }, { settled, signal, encode }, (pairs, run) =>
    mapped(model.queue.run(pairs, job, run), ({ data }) => toMatch(data)),
  );
}
