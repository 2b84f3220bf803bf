import { tooLong } from "../blip/compiled-shapes.js";
import {
  type CaptionGenerateOptions,
  NeuronBlipForConditionalGeneration,
} from "../blip/neuron-blip-for-conditional-generation.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { type CallOptions, encodeWithin, type SettledOption } from "./encode-text.js";
import { generationJob } from "./generate-texts.js";
import type { LoadedModel } from "./loaded-model.js";
import type { Caption, GeneratedText } from "./results.js";
import { checkModel, forEachPair, type ResultFor } from "./task.js";

export interface CaptionOptions extends CaptionGenerateOptions, SettledOption, CallOptions {
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
  const { settled, prompt = "", signal, callId, ...options } = readOptions(given, "caption");
  checkModel(model, NeuronBlipForConditionalGeneration, "BlipForConditionalGeneration", "caption");
  const { processor, replica } = model;
  const { shapes } = replica;
  const { answerLength } = shapes;
  const hasPrompt = prompt !== "";
  const encode = (text: string) =>
    encodeWithin(processor, text, { maxLength: Math.max(LONGEST_PROMPT, answerLength) + 2 }, (shown) =>
      tooLong("INVALID_INPUT", `The prompt ${shown}`, undefined, answerLength, "answer", shapes),
    );
  const job = generationJob(
    model,
    options,
    // Other calls' rows may be among them, with a prompt or, as no tokens, without.
    (replica, rows, options, places) =>
      replica.generateRows(
        rows.map(({ image }) => image),
        rows,
        options,
        places,
      ),
    (text: GeneratedText): Caption => ({ caption: processor.tokenizer.decode(text.tokenIds), ...text }),
  );
  const call = { task: "caption", callId, settled, signal, encode: hasPrompt ? encode : undefined } as const;
  return forEachPair(model, { images, texts: prompt }, call, job);
}
