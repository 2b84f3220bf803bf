import { type GenerateOptions, NeuronBlipForQuestionAnswering } from "../blip/neuron-blip-for-question-answering.js";
import { readOptions } from "../errors.js";
import type { Picture } from "../images/encoded-image.js";
import type { SettledOption, TextOptions } from "./encode-text.js";
import { forEachPair, type ResultFor } from "./for-each-pair.js";
import { batchKeyOf, generationJob } from "./generate-texts.js";
import { type AnyModel, type LoadedModel, replicaAs, textAboutImage } from "./loaded-model.js";
import type { Answer, GeneratedText } from "./results.js";

export interface AnswerOptions extends GenerateOptions, TextOptions, SettledOption {}

/** Answers questions about pictures: see `NeuronBlip.answer`. */
export async function answer(
  model: LoadedModel,
  images: Picture | readonly Picture[],
  questions: string | readonly string[],
  given: AnswerOptions,
): Promise<ResultFor<Answer>> {
  const { settled, truncation = false, signal, callId, ...options } = readOptions(given, "answer");
  const { processor, queue } = model;
  const maxLength = answering(model.anyReplica).shapes.questionLength;
  const plan = batchKeyOf(options, model.samples);
  const encode = (question: string) => processor.tokenizer.encodeSteps(question, { maxLength, truncation });
  return forEachPair(
    model,
    { images, texts: questions },
    { task: "answer", callId, settled, signal, encode },
    (pairs, run) => {
      const job = generationJob(
        model,
        plan,
        pairs,
        (replica, rows, options, places) => answering(replica).generateRows(rows.map(textAboutImage), options, places),
        (text: GeneratedText): Answer => ({ answer: processor.tokenizer.decode(text.tokenIds), ...text }),
      );
      return queue.run(pairs, job, run);
    },
  );
}

function answering(replica: AnyModel): NeuronBlipForQuestionAnswering {
  return replicaAs(replica, NeuronBlipForQuestionAnswering, "BlipForQuestionAnswering", "answer");
}
