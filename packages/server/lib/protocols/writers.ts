/** What writes a text about a picture, for protocols that take whichever the model makes: an answer or a caption. */
import type { FastifyRequest } from "fastify";
import type { Answer, Caption, GeneratedText } from "neuron-blip";
import type { ServerContext } from "../context.js";
import { callOf, type Generated, streamAnswer, streamCaption } from "../tasks.js";
import type { GenerationFields } from "./generation-options.js";
import { checkQuestions, questionsOf } from "./questions.js";

/** A text that the model wrote, and its alternatives where they were asked for. */
export interface Written extends GeneratedText {
  readonly text: string;
  readonly others: readonly Written[];
}

export interface Writer {
  readonly task: "answer" | "caption";
  /**
   * Says what to write about: the questions, else the standing ones; or the prompt, which may be empty.
   * @throws Problem `INVALID_INPUT`, `INPUT_TOO_LONG`
   */
  aboutWhat(given: string | undefined): readonly string[];
  /** Writes one text about each picture and what is asked of it. */
  write(
    request: FastifyRequest,
    pictures: readonly Uint8Array[],
    asked: readonly string[],
    options: GenerationFields,
  ): Promise<Written[]>;
  /** Writes one text piece by piece. */
  stream(
    request: FastifyRequest,
    picture: Uint8Array,
    asked: string,
    options: GenerationFields,
  ): AsyncGenerator<Generated<Written>, void, void>;
}

/** Returns a model's writer; undefined where it writes no texts. */
export function writerOf(context: ServerContext): Writer | undefined {
  switch (context.blip.architecture) {
    case "BlipForQuestionAnswering":
      return answerer(context);
    case "BlipForConditionalGeneration":
      return captioner(context);
    case "BlipForImageTextRetrieval":
      return undefined;
  }
}

function answerer(context: ServerContext): Writer {
  return {
    task: "answer",
    aboutWhat: (question) => questionsOf(question === undefined ? undefined : [question], context),
    async write(request, pictures, questions, options) {
      return (await context.blip.answer(pictures, questions, { ...options, ...callOf(request) })).map(ofAnswer);
    },
    stream: (...asked) => written(streamAnswer(context, ...asked), ofAnswer),
  };
}

function captioner(context: ServerContext): Writer {
  return {
    task: "caption",
    aboutWhat(prompt = "") {
      checkQuestions([prompt], context.limits, "prompt");
      return [prompt];
    },
    write: (request, pictures, prompts, options) =>
      Promise.all(
        pictures.map(async (picture, i) => {
          const prompt = prompts[i] ?? "";
          return ofCaption(await context.blip.caption(picture, { ...options, prompt, ...callOf(request) }));
        }),
      ),
    stream: (request, picture, prompt, options) =>
      written(streamCaption(context, request, picture, { ...options, prompt }), ofCaption),
  };
}

async function* written<T>(
  stream: AsyncGenerator<Generated<T>, void, void>,
  toWritten: (result: T) => Written,
): AsyncGenerator<Generated<Written>, void, void> {
  for await (const next of stream) yield "piece" in next ? next : { result: toWritten(next.result) };
}

function ofAnswer({ answer: text, alternatives = [], ...about }: Answer): Written {
  return { ...about, text, others: alternatives.map(ofAnswer) };
}

function ofCaption({ caption: text, alternatives = [], ...about }: Caption): Written {
  return { ...about, text, others: alternatives.map(ofCaption) };
}
