import { type GenerateOptions, NeuronBlipForQuestionAnswering } from "../blip/neuron-blip-for-question-answering.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import { batchKeyOf } from "./batch-key.js";
import { type SettledOption, type TextOptions, textEncoding } from "./encode-text.js";
import { forEachPair, generationJob, mapped, type ResultFor } from "./for-each-pair.js";
import { jobOf, type LoadedModel, replicaAs, textAboutImage } from "./loaded-model.js";
import { type Answer, bestOf, type GeneratedText } from "./results.js";

export interface AnswerOptions extends GenerateOptions, TextOptions, SettledOption {}

/** Answers questions about pictures: see `NeuronBlip.answer`. */
export async function answer(
  model: LoadedModel,
  images: Picture | readonly Picture[],
  questions: string | readonly string[],
  given: AnswerOptions,
): Promise<ResultFor<Answer>> {
  const { settled, truncation = false, signal, ...options } = readOptions(given, "answer");
  const replica = replicaAs(model, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "answer");
  const encode = textEncoding(model.processor, { maxLength: replica.shapes.questionLength, truncation });
  const plan = batchKeyOf(options, model.samples);
  const toAnswer = (text: GeneratedText): Answer => ({ answer: model.processor.decode(text.tokenIds), ...text });
  return forEachPair(model, { images, texts: questions }, { settled, signal, encode }, (pairs, run) => {
    const job = jobOf(NeuronBlipForQuestionAnswering, {
      ...generationJob(model, plan, pairs),
      work: (replica, rows: typeof pairs, signal) =>
        replica.generateRows(
          rows.map(textAboutImage),
          { ...plan.options, signal },
          rows.map(({ place }) => place),
        ),
    });
    return mapped(model.queue.run(pairs, job, run), (sequences) => bestOf(sequences, toAnswer));
  });
}
