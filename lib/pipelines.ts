/** The API in the shape of Hugging Face's pipelines: `pipeline(task, directory)` gives a function to call. */
import { inspect } from "node:util";
import { readBlipConfig } from "./blip/blip-config.js";
import type { Architecture } from "./blip/heads.js";
import { modelDirectoryOf } from "./blip/model-directory.js";
import { NeuronBlipError, readOptions } from "./errors.js";
import { splitHubOptions, withoutRevision } from "./hub/hub-options.js";
import type { Picture } from "./images/encoded-image.js";
import { NeuronBlip } from "./neuron-blip.js";
import { type NeuronBlipOptions, readLoadingOptions } from "./options.js";
import type { AnswerOptions } from "./tasks/answer.js";
import type { CaptionOptions } from "./tasks/caption.js";
import type { Answer, Caption } from "./tasks/results.js";
import { itemAt } from "./util/item-at.js";
import type { ModelDirectory } from "./util/model-path.js";
import { inTurns, mapSteps } from "./util/turns.js";
import { isList, isWhole } from "./util/values.js";

export type PipelineTask = "visual-question-answering" | "image-to-text";

/** What every pipeline has besides being a function. */
export interface Pipeline<Task extends PipelineTask> extends AsyncDisposable {
  readonly task: Task;
  /** The model, for what a pipeline has not got. */
  readonly model: NeuronBlip;
  /** Frees the model after the calls under way; later calls get `DISPOSED`. */
  dispose(): Promise<void>;
}

/** Options in camelCase or, as transformers.js has them, in snake_case: `maxNewTokens` or `max_new_tokens`. */
export type EitherCase<Options> = Options & { [Name in keyof Options as SnakeCase<Name & string>]?: Options[Name] };

/** A camelCase name in snake_case. */
export type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : Name;

export type VisualQuestionAnsweringOptions = EitherCase<
  Omit<AnswerOptions, "settled" | "numReturnSequences" | "topK"> & {
    /**
     * How many answers to give. Default 1. More come from beam search with `numBeams`, but at least as many beams; with
     * `doSample` they are drawn. How many tokens sampling draws among, `topK` elsewhere, cannot be set here.
     */
    topK?: number;
  }
>;

export interface VisualAnswer {
  answer: string;
  /** Its probability, from 0 to 1: the product of its tokens' probabilities. */
  score: number;
}

export interface ImageAndQuestion {
  image: Picture;
  question: string;
}

/**
 * Answers questions about pictures: up to `topK` answers, the best first, for one; a list of such lists for several. Beams
 * rank by the mean of the tokens' logarithms, so that a longer answer may stand before one with a higher score.
 *
 * A list of pictures with a list of questions asks every question about every picture, as Python's pipeline: the first question
 * about each, then the second. For one question about each picture give a list of { image, question }.
 *
 * Rejects with NeuronBlipError as NeuronBlip.answer.
 */
export interface VisualQuestionAnsweringPipeline extends Pipeline<"visual-question-answering"> {
  (image: Picture, question: string, options?: VisualQuestionAnsweringOptions): Promise<VisualAnswer[]>;
  (
    images: Picture | readonly Picture[],
    questions: string | readonly string[],
    options?: VisualQuestionAnsweringOptions,
  ): Promise<VisualAnswer[][]>;
  (asked: ImageAndQuestion, options?: VisualQuestionAnsweringOptions): Promise<VisualAnswer[]>;
  (asked: readonly ImageAndQuestion[], options?: VisualQuestionAnsweringOptions): Promise<VisualAnswer[][]>;
}

export type ImageToTextOptions = EitherCase<Omit<CaptionOptions, "settled">>;

export interface GeneratedCaption {
  /** The caption, its prompt included. */
  generated_text: string;
}

/**
 * Describes pictures: `numReturnSequences` captions (default 1) for one; a list of such lists for several.
 *
 * Rejects with NeuronBlipError as NeuronBlip.caption.
 */
export interface ImageToTextPipeline extends Pipeline<"image-to-text"> {
  (image: Picture, options?: ImageToTextOptions): Promise<GeneratedCaption[]>;
  (images: readonly Picture[], options?: ImageToTextOptions): Promise<GeneratedCaption[][]>;
}

const ARCHITECTURES: Readonly<Record<PipelineTask, Architecture>> = {
  "visual-question-answering": "BlipForQuestionAnswering",
  "image-to-text": "BlipForConditionalGeneration",
};

/**
 * Loads a model directory for a task, as transformers' `pipeline`.
 *
 * ```ts
 * const ask = await pipeline("visual-question-answering", "./blip-vqa-base");
 * const [{ answer, score }] = await ask("dog.jpg", "how many dogs are in the picture?");
 * await ask.dispose();
 * ```
 * @throws NeuronBlipError `INVALID_INPUT` for a task that does not exist, `ARTIFACT_MISMATCH` for a model of another task, and
 * as NeuronBlip.fromPretrained.
 */
export function pipeline(
  task: "visual-question-answering",
  directory: ModelDirectory,
  options?: NeuronBlipOptions,
): Promise<VisualQuestionAnsweringPipeline>;
export function pipeline(
  task: "image-to-text",
  directory: ModelDirectory,
  options?: NeuronBlipOptions,
): Promise<ImageToTextPipeline>;
export async function pipeline(
  task: PipelineTask,
  given: ModelDirectory,
  options: NeuronBlipOptions = {},
): Promise<VisualQuestionAnsweringPipeline | ImageToTextPipeline> {
  if (!Object.hasOwn(ARCHITECTURES, task)) {
    throw invalid(`There is no pipeline ${inspect(task)}. The tasks are ${Object.keys(ARCHITECTURES).join(" and ")}.`);
  }
  const [hub, others] = splitHubOptions(readLoadingOptions(options));
  const directory = await modelDirectoryOf(given, hub);
  // Before the model, which can take long to load.
  checkArchitecture(task, directory, (await readBlipConfig(directory)).architecture);
  const model = await NeuronBlip.fromPretrained(directory, { ...others, ...withoutRevision(hub) });
  return task === "visual-question-answering" ? visualQuestionAnswering(model) : imageToText(model);
}

function visualQuestionAnswering(model: NeuronBlip): VisualQuestionAnsweringPipeline {
  const ask = async (first: unknown, second?: unknown, third?: unknown) => {
    const wereQuestionsGiven = areQuestions(second);
    const pairs = wereQuestionsGiven ? [] : checkPairs(listOf(first));
    const options = toAnswerOptions(inCamelCase(wereQuestionsGiven ? third : second));
    const answers = wereQuestionsGiven
      ? await answerEvery(model, listOf(first as Picture | Picture[]), listOf(second), options)
      : await model.answer(
          pairs.map(({ image }) => image),
          pairs.map(({ question }) => question),
          options,
        );
    const results = await inTurns(mapSteps(answers, (best) => toVisualAnswers(best, options.doSample === true)));
    return Array.isArray(first) || Array.isArray(second) ? results : results[0];
  };
  return asPipeline("visual-question-answering", model, ask) as VisualQuestionAnsweringPipeline;
}

function imageToText(model: NeuronBlip): ImageToTextPipeline {
  const describe = async (images: Picture | readonly Picture[], options?: unknown) => {
    const captions = await model.caption(listOf(images), inCamelCase(options));
    const toTexts = (best: Caption) => everyOne(best).map(({ caption }) => ({ generated_text: caption }));
    const results = await inTurns(mapSteps(captions, toTexts));
    return Array.isArray(images) ? results : results[0];
  };
  return asPipeline("image-to-text", model, describe) as ImageToTextPipeline;
}

function asPipeline<Task extends PipelineTask, Call extends object>(
  task: Task,
  model: NeuronBlip,
  call: Call,
): Call & Pipeline<Task> {
  const dispose = () => model.dispose();
  return Object.assign(call, { task, model, dispose, [Symbol.asyncDispose]: dispose });
}

/** Says whether these are questions, and no options; what else is in a list of them, answering refuses. */
function areQuestions(value: unknown): value is string | readonly string[] {
  return typeof value === "string" || Array.isArray(value);
}

function checkPairs(asked: readonly unknown[]): readonly ImageAndQuestion[] {
  const isPair = (value: unknown): value is ImageAndQuestion =>
    typeof value === "object" && value !== null && "image" in value && "question" in value;
  if (asked.every(isPair)) return asked;
  throw invalid("Give a picture and a question, or { image, question }, or a list of those, and then the options.");
}

/** Asks every question about every picture. A picture's questions are asked side by side, so that it is encoded once. */
async function answerEvery(
  model: NeuronBlip,
  images: readonly Picture[],
  questions: readonly string[],
  options: AnswerOptions,
): Promise<Answer[]> {
  const pairs = await inTurns(pairSteps(images, questions));
  const answers = await model.answer(
    pairs.map(([image]) => image),
    pairs.map(([, question]) => question),
    options,
  );
  return inTurns(
    mapSteps(pairs, (_, at) => {
      const [q, i] = [Math.floor(at / images.length), at % images.length];
      return itemAt(answers, i * questions.length + q);
    }),
  );
}

/** Pairs each picture with each question, a picture's questions one after another. */
function* pairSteps(
  images: readonly Picture[],
  questions: readonly string[],
): Generator<void, (readonly [Picture, string])[]> {
  const pairs: (readonly [Picture, string])[] = [];
  for (const image of images) {
    for (const question of questions) {
      pairs.push([image, question]);
      yield;
    }
  }
  return pairs;
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return isList(value) ? value : [value];
}

function toAnswerOptions({ topK = 1, ...options }: Record<string, unknown>): AnswerOptions {
  if (!isWhole(topK, 1)) {
    throw invalid(`topK, the number of answers, must be a whole number >= 1, not ${inspect(topK)}.`);
  }
  if (options.numReturnSequences !== undefined) {
    throw invalid("In this pipeline topK is the number of answers: give it instead of numReturnSequences.");
  }
  const numReturnSequences = topK;
  if (numReturnSequences === 1 || options.doSample === true) return { ...options, numReturnSequences };
  const { numBeams = 1 } = options;
  // What is not a number of beams, generation will refuse.
  const beams = { ...options, doSample: false, numReturnSequences };
  if (typeof numBeams !== "number" || !Number.isSafeInteger(numBeams)) return beams;
  return { ...beams, numBeams: Math.max(numBeams, numReturnSequences) };
}

/** Ranks drawn answers, which come as they were drawn. Beams come ranked. */
function toVisualAnswers(best: Answer, wereDrawn: boolean): VisualAnswer[] {
  const answers = everyOne(best).map(({ answer, score }) => ({ answer, score }));
  return wereDrawn ? answers.sort((one, other) => other.score - one.score) : answers;
}

function everyOne<T extends { readonly alternatives?: readonly T[] }>(best: T): T[] {
  return [best, ...(best.alternatives ?? [])];
}

function inCamelCase(options: unknown = {}): Record<string, unknown> {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalid(`The options must be an object, not ${inspect(options)}.`);
  }
  const renamed: Record<string, unknown> = Object.create(null); // no name is special
  for (const [name, value] of Object.entries(readOptions(options, "a pipeline"))) {
    const ours = name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (Object.hasOwn(renamed, ours)) throw invalid(`${ours} was given twice, in camelCase and in snake_case.`);
    renamed[ours] = value;
  }
  if (renamed.settled !== undefined) {
    throw invalid("Pipelines have no option settled: the methods of their `model` have.");
  }
  return renamed;
}

function checkArchitecture(task: PipelineTask, directory: string, architecture: Architecture): void {
  if (ARCHITECTURES[task] === architecture) return;
  const [other] = Object.entries(ARCHITECTURES).find(([, one]) => one === architecture) ?? [];
  throw new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${directory}" holds a ${architecture}, and ${task} needs a ${ARCHITECTURES[task]}. For this model use ` +
      `${other ? `pipeline("${other}", …)` : "match and similarity of NeuronBlip.fromPretrained(…)"}.`,
  );
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
