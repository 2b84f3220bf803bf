/** What a checkpoint's number types change: the same questions about the same pictures, in float32 and in others. */
import type { CheckpointDtype } from "../../blip/parts/checkpoint/checkpoint.js";
import { NeuronBlipError } from "../../errors.js";
import type { HubOptions } from "../../hub/hub-options.js";
import { NeuronBlip } from "../../neuron-blip.js";
import { median } from "../report/statistics.js";

export interface CompareOptions {
  /** Besides float32. */
  readonly dtypes: readonly Exclude<CheckpointDtype, "float32">[];
  /** Of each picture; none for a model that captions. */
  readonly questions: readonly string[];
  /** Default: all cores. */
  readonly threads?: number | undefined;
  readonly hub: HubOptions;
  /** Called before each number type. */
  readonly say: (line: string) => void;
}

/** What a model said in one number type. Times are medians in ms. */
export interface Run {
  readonly dtype: CheckpointDtype;
  readonly msOfPicture: number;
  /** Of all questions about one picture, or of its caption. */
  readonly msOfAnswers: number;
  readonly texts: readonly Text[];
}

interface Text {
  readonly picture: string;
  /** Undefined of a caption. */
  readonly question: string | undefined;
  readonly text: string;
  readonly score: number;
  readonly tokenIds: readonly number[];
}

/** A text that is another in that number type. */
export interface Change {
  readonly picture: string;
  readonly question: string | undefined;
  readonly before: string;
  /** The probability of `before` by float32: a close race turns easily. */
  readonly scoreBefore: number;
  readonly after: string;
  readonly scoreAfter: number;
}

export interface Compared extends Omit<Run, "texts"> {
  readonly texts: number;
  /** The share of the texts whose tokens are float32's. */
  readonly agreement: number;
  readonly changes: readonly Change[];
}

/**
 * Runs a checkpoint on the CPU in each number type, one after the other.
 * @param pictures files.
 * @throws NeuronBlipError `INVALID_INPUT` for a model that matches, or is compiled; as `fromPretrained`, `answer` and `caption`.
 */
export async function compareDtypes(
  model: string,
  pictures: readonly string[],
  options: CompareOptions,
): Promise<readonly Compared[]> {
  const reference = await runAs("float32", model, pictures, options);
  const all = [compared(reference, reference)];
  for (const dtype of options.dtypes) all.push(compared(await runAs(dtype, model, pictures, options), reference));
  return all;
}

async function runAs(
  dtype: CheckpointDtype,
  model: string,
  pictures: readonly string[],
  { questions, threads, hub, say }: CompareOptions,
): Promise<Run> {
  say(`${dtype}: ${pictures.length} pictures`);
  await using blip = await NeuronBlip.fromPretrained(model, {
    ...hub,
    dtype,
    ...(threads !== undefined && { threads }),
  });
  checkQuestions(blip, questions);
  const texts: Text[] = [];
  const pictureTimes: number[] = [];
  const answerTimes: number[] = [];
  for (const picture of pictures) {
    const began = performance.now();
    using encoded = await blip.encodeImage(picture);
    const seen = performance.now();
    if (questions.length === 0) {
      const { caption, score, tokenIds } = await blip.caption(encoded);
      texts.push({ picture, question: undefined, text: caption, score, tokenIds });
    } else {
      for (const [i, { answer, score, tokenIds }] of (await blip.answer(encoded, questions)).entries()) {
        texts.push({ picture, question: questions[i], text: answer, score, tokenIds });
      }
    }
    pictureTimes.push(seen - began);
    answerTimes.push(performance.now() - seen);
  }
  return { dtype, msOfPicture: median(pictureTimes) ?? 0, msOfAnswers: median(answerTimes) ?? 0, texts };
}

/** Checks that the model is asked what it can say. */
function checkQuestions({ architecture }: NeuronBlip, questions: readonly string[]): void {
  if (architecture === "BlipForQuestionAnswering" && questions.length === 0) {
    throw new NeuronBlipError("INVALID_INPUT", "This model answers questions: give at least one.");
  }
  if (architecture === "BlipForConditionalGeneration" && questions.length > 0) {
    throw new NeuronBlipError("INVALID_INPUT", "This model captions pictures: it takes no questions.");
  }
  if (architecture === "BlipForImageTextRetrieval") {
    throw new NeuronBlipError("INVALID_INPUT", "This model matches: what is compared are answers and captions.");
  }
}

function compared({ texts, ...run }: Run, reference: Run): Compared {
  const changes = texts.flatMap(({ picture, question, text, score, tokenIds }, i): Change[] => {
    const before = reference.texts[i];
    if (before === undefined || before.tokenIds.join() === tokenIds.join()) return [];
    return [{ picture, question, before: before.text, scoreBefore: before.score, after: text, scoreAfter: score }];
  });
  return { ...run, texts: texts.length, agreement: 1 - changes.length / Math.max(1, texts.length), changes };
}
