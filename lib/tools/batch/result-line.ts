/** What is asked of a model for a line of the input, and the line of the output that comes of it. */
import { NeuronBlipError, type NeuronBlipErrorCode } from "../../errors.js";
import type { Answer, AnswerOptions, Caption, CaptionOptions, NeuronBlip } from "../../index.js";
import { oneLine } from "../../util/values.js";
import { type BadRequest, type Id, invalid, type Request } from "./request.js";

/** What is asked of pictures whose lines do not say, and how. */
export interface Standing {
  readonly questions: readonly string[];
  readonly options: AnswerOptions & CaptionOptions;
}

/** A line's result, which may be its error. */
export interface Result {
  readonly line: string;
  readonly failed: boolean;
}

/** What is wrong with a line itself, so that it would fail again. A device or memory that fails is not its fault. */
const OF_THE_LINE: readonly NeuronBlipErrorCode[] = [
  ...(["INVALID_INPUT", "INVALID_IMAGE", "IMAGE_TOO_LARGE", "INPUT_TOO_LONG"] as const),
  // A batch that fails is run row by row, so that this row alone did.
  "EXECUTION_FAILED",
];

/**
 * Does what a line asks.
 * @throws NeuronBlipError for what is not the line's fault.
 */
export async function resultOf(
  model: NeuronBlip,
  request: Request | BadRequest,
  standing: Standing,
  signal: AbortSignal,
): Promise<Result> {
  const { id } = request;
  try {
    if ("error" in request) throw request.error;
    const options = { ...standing.options, ...request.options, signal };
    return { line: lineOf(id, await fieldsOf(model, request, standing.questions, options)), failed: false };
  } catch (error) {
    if (!(error instanceof NeuronBlipError) || !OF_THE_LINE.includes(error.code)) throw error;
    const { code, message } = error;
    return { line: lineOf(id, { error: { code, message: oneLine(message, 1000) } }), failed: true };
  }
}

async function fieldsOf(
  model: NeuronBlip,
  { picture, questions = [] }: Request,
  standing: readonly string[],
  { prompt, ...options }: AnswerOptions & CaptionOptions,
): Promise<object> {
  if (model.architecture === "BlipForConditionalGeneration") {
    if (questions.length > 0) throw invalid("This model makes captions: it takes no questions.");
    const caption = await model.caption(picture, { ...options, ...(prompt !== undefined && { prompt }) });
    return captionOf(caption);
  }
  if (prompt !== undefined) throw invalid("prompt is for models that make captions.");
  const asked = questions.length > 0 ? questions : standing;
  const [first, ...others] = asked;
  if (first === undefined) throw invalid("The line has no question, and no --question was given.");
  // One by itself shares batches with other lines' from the start.
  const answers =
    others.length === 0 ? [await model.answer(picture, first, options)] : await model.answer(picture, asked, options);
  return { answers: answers.map((answer, i) => ({ question: asked[i], ...answerOf(answer) })) };
}

function answerOf({ answer, score, alternatives }: Answer): object {
  return { answer, score: rounded(score), ...(alternatives && { alternatives: alternatives.map(answerOf) }) };
}

function captionOf({ caption, score, alternatives }: Caption): object {
  return { caption, score: rounded(score), ...(alternatives && { alternatives: alternatives.map(captionOf) }) };
}

/** A row comes out otherwise from the seventh digit on where other rows share its batch, and who does depends on time. */
function rounded(score: number): number {
  return Number(score.toFixed(4));
}

function lineOf(id: Id, fields: object): string {
  return `${JSON.stringify({ id, ...fields })}\n`;
}
