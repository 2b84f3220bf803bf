/** What a line of the input asks. */
import { resolve } from "node:path";
import { messageOf, NeuronBlipError } from "../../errors.js";
import type { AnswerOptions, CaptionOptions, Picture } from "../../index.js";
import { isList, oneLine, shown } from "../../util/values.js";

export type Id = string | number;

/** The options that a line may set: those that say what is generated, and that JSON can say. */
type LineOptions = Pick<AnswerOptions, (typeof OPTIONS)[number]> & Pick<CaptionOptions, "prompt">;

const OPTIONS = [
  ...["maxLength", "maxNewTokens", "minLength", "minNewTokens", "numBeams", "lengthPenalty", "earlyStopping"],
  ...["numReturnSequences", "doSample", "temperature", "topK", "topP", "minP", "typicalP", "seed"],
  ...["repetitionPenalty", "noRepeatNgramSize", "truncation"],
] as const;

/** What is asked, once for each picture. */
export interface Request {
  readonly id: Id;
  readonly picture: Picture;
  /** Undefined where the line has none. */
  readonly questions: readonly string[] | undefined;
  readonly options: LineOptions;
  /** Bytes that it holds in memory. */
  readonly size: number;
}

/** A line that asks nothing that can be done. */
export interface BadRequest {
  readonly id: Id;
  readonly error: NeuronBlipError;
  readonly size: number;
}

const FIELDS = ["id", "picture", "question", "questions", "options"];
const LONGEST_ID = 1000;

/**
 * Reads a line.
 * @param number of the line, which is its id where it has none of its own.
 * @param directory that the paths of pictures start from.
 */
export function readRequest(line: Buffer, number: number, directory: string): Request | BadRequest {
  let id: Id = number;
  try {
    const fields = objectOf(parse(line), "The line");
    id = idOf(fields.id) ?? number;
    checkNames(fields, FIELDS, "the line");
    const picture = pictureOf(fields.picture, directory);
    return { id, picture, questions: questionsOf(fields), options: optionsOf(fields.options), size: line.length };
  } catch (error) {
    if (!(error instanceof NeuronBlipError)) throw error;
    return { id, error, size: 0 };
  }
}

function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString("utf8"));
  } catch (cause) {
    throw invalid(`The line is no JSON: ${oneLine(messageOf(cause), 200)}.`);
  }
}

function idOf(given: unknown): Id | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given === "string" && given !== "" && given.length <= LONGEST_ID) return given;
  if (typeof given === "number" && Number.isSafeInteger(given)) return given;
  throw invalid(`id is a text of at most ${LONGEST_ID} characters, or a whole number, not ${shown(given)}.`);
}

/** A text is a path or an http(s) URL; an object says which, or holds the bytes. */
function pictureOf(given: unknown, directory: string): Picture {
  if (typeof given === "string" && given !== "") {
    return /^(https?|data):/i.test(given) ? given : resolve(directory, given);
  }
  const what = "picture is a path, a URL, or an object with one of file, url and base64";
  if (given === undefined) throw invalid(`The line has no picture: ${what}.`);
  if (typeof given !== "object" || given === null) throw invalid(`${what}, not ${shown(given)}.`);
  const fields = Object.entries(given);
  const [name, value]: readonly [string?, unknown?] = fields[0] ?? [];
  if (fields.length !== 1 || typeof value !== "string" || value === "") throw invalid(`${what}, not ${shown(given)}.`);
  if (name === "file") return resolve(directory, value);
  if (name === "base64") return fromBase64(value);
  if (name !== "url") throw invalid(`${what}, not ${shown(given)}.`);
  if (/^(https?|data):/i.test(value)) return value;
  throw invalid(`The picture's url is one of http:, https: or data:, not ${shown(value)}.`);
}

function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  // Node leaves out what is no base64.
  const padding = /=*$/.exec(text)?.[0].length ?? 0;
  if (bytes.length === Math.floor(((text.length - padding) * 3) / 4)) return bytes;
  throw invalid("The picture is not base64.");
}

function questionsOf({ question, questions }: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  if (question !== undefined && questions !== undefined) throw invalid("Give question or questions, not both.");
  const given = question ?? questions;
  if (given === undefined) return undefined;
  const all: unknown = isList(given) ? given : [given];
  const areTexts = (list: unknown): list is string[] =>
    Array.isArray(list) && list.length > 0 && list.every((text) => typeof text === "string");
  if (areTexts(all)) return all;
  throw invalid(`questions is a text or a list of texts, not ${shown(given)}.`);
}

function optionsOf(given: unknown): LineOptions {
  if (given === undefined) return {};
  const options = objectOf(given, "options");
  checkNames(options, [...OPTIONS, "prompt"], "options");
  return options; // whose values the library checks
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw invalid(`${what} must be an object, not ${shown(value)}.`);
}

function checkNames(fields: object, known: readonly string[], what: string): void {
  const unknown = Object.keys(fields).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw invalid(`There is no field ${shown(unknown)} of ${what}. The fields are ${known.join(", ")}.`);
}

export function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
