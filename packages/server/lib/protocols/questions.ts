import type { ServerContext } from "../context.js";
import type { Limits } from "../options.js";
import { Problem } from "../problem.js";

/** Returns the questions that were asked, else the standing ones. @throws Problem */
export function questionsOf(given: readonly string[] | undefined, context: ServerContext): readonly string[] {
  const { limits, standingQuestions } = context;
  if (given === undefined || given.length === 0) {
    if (standingQuestions.length > 0) return standingQuestions;
    throw new Problem("INVALID_INPUT", "Give one or more questions.");
  }
  checkQuestions(given, limits);
  return given;
}

/** Checks how many questions there are, and how long. @throws Problem `INVALID_INPUT`, `INPUT_TOO_LONG` */
export function checkQuestions(
  questions: readonly string[],
  { maxQuestions, maxQuestionLength }: Limits,
  what = "question",
): void {
  if (questions.length > maxQuestions) {
    throw new Problem("INVALID_INPUT", `${questions.length} ${what}s were given; ${maxQuestions} at most are taken.`);
  }
  const long = questions.findIndex((question) => question.length > maxQuestionLength);
  if (long < 0) return;
  const { length } = questions[long] ?? "";
  throw new Problem(
    "INPUT_TOO_LONG",
    `${what} ${long + 1} has ${length} characters; ${maxQuestionLength} at most are taken.`,
  );
}
