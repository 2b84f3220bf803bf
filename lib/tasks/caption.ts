import { tooLong } from "../blip/compiled-shapes.js";
import {
  type CaptionGenerateOptions,
  NeuronBlipForConditionalGeneration,
} from "../blip/neuron-blip-for-conditional-generation.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { batchKeyOf } from "./batch-key.js";
import { encodeWithin, type SettledOption } from "./encode-text.js";
import { forEachPair, generationJob, mapped, type ResultFor } from "./for-each-pair.js";
import { embedsOf, jobOf, type LoadedModel, replicaAs, textAboutImage } from "./loaded-model.js";
import { bestOf, type Caption, type GeneratedText } from "./results.js";

export interface CaptionOptions extends CaptionGenerateOptions, SettledOption {
  /** What the caption begins with, such as "a picture of". Default: nothing. */
  prompt?: string;
}

/** A prompt is read to its end up to so many tokens, so that its error can say how many it has. */
const LONGEST_PROMPT = 512;

/** Describes pictures: see `NeuronBlip.caption`. */
export async function caption(
  model: LoadedModel,
  images: Picture | readonly Picture[],
  given: CaptionOptions,
): Promise<ResultFor<Caption>> {
  const { settled, prompt, signal, ...options } = readOptions(given, "caption");
  const { processor } = model;
  const { shapes } = replicaAs(model, NeuronBlipForConditionalGeneration, "BlipForConditionalGeneration", "caption");
  const { answerLength } = shapes;
  const texts = prompt === "" ? undefined : prompt;
  const encode = (text: string) =>
    encodeWithin(processor, text, { maxLength: Math.max(LONGEST_PROMPT, answerLength) + 2 }, (shown) =>
      tooLong("INVALID_INPUT", `The prompt ${shown}`, undefined, answerLength, "answer", shapes),
    );
  const plan = batchKeyOf(options, model.samples);
  const toCaption = (text: GeneratedText): Caption => ({ caption: processor.decode(text.tokenIds), ...text });
  const pairOptions = { settled, signal, encode: texts === undefined ? undefined : encode };
  return forEachPair(model, { images, texts }, pairOptions, (pairs, run) => {
    const job = jobOf(NeuronBlipForConditionalGeneration, {
      ...generationJob(model, plan, pairs),
      work: (replica, rows: typeof pairs, signal) =>
        replica.generateRows(
          embedsOf(rows),
          texts === undefined ? undefined : rows.map(textAboutImage),
          { ...plan.options, signal },
          rows.map(({ place }) => place),
        ),
    });
    return mapped(model.queue.run(pairs, job, run), (sequences) => bestOf(sequences, toCaption));
  });
}
