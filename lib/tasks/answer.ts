import { type GenerateOptions, NeuronBlipForQuestionAnswering } from "../blip/neuron-blip-for-question-answering.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { SettledOption, TextOptions } from "./encode-text.js";
import { generationJob } from "./generate-texts.js";
import type { LoadedModel } from "./loaded-model.js";
import type { Answer, GeneratedText } from "./results.js";
import { checkModel, forEachPair, type ResultFor } from "./task.js";

export interface AnswerOptions extends GenerateOptions, TextOptions, SettledOption {}

/** Answers questions about pictures: see `NeuronBlip.answer`. */
export async function answer(
  model: LoadedModel,
  images: Picture | readonly Picture[],
  questions: string | readonly string[],
  given: AnswerOptions,
): Promise<ResultFor<Answer>> {
  const { settled, truncation = false, signal, callId, ...options } = readOptions(given, "answer");
  checkModel(model, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "answer");
  const { processor, replica } = model;
  const maxLength = replica.shapes.questionLength;
  const encode = (question: string) => processor.tokenizer.encodeSteps(question, { maxLength, truncation });
  const job = generationJob(
    model,
    options,
    (replica, rows, options, places) => replica.generateRows(rows, options, places),
    (text: GeneratedText): Answer => ({ answer: processor.tokenizer.decode(text.tokenIds), ...text }),
  );
  return forEachPair(model, { images, texts: questions }, { task: "answer", callId, settled, signal, encode }, job);
}
