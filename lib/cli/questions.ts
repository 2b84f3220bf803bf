import { UsageError } from "./usage.js";

/** A word, which is no question by itself: without a question mark, and nothing but letters and digits around it. */
const WORD = /^[\p{L}\p{M}\p{N}'’-]+[,.;:!]?$/u;

/**
 * Refuses a question that was not quoted, which the shell gives as an argument for each word. Several questions are one where any of
 * them is a single word without a question mark: "why?" and "where?" are two, "how", "many" and "dogs?" are one.
 * @param others the arguments before, and the options, for the command that is suggested.
 * @throws UsageError with the quoted form.
 */
export function checkQuoted(questions: readonly string[], others: { before: string[]; options: string[] }): void {
  if (questions.length < 2 || !questions.some((question) => WORD.test(question))) return;
  const command = [
    "neuron-blip",
    ...others.before.map(quoted),
    quoted(questions.join(" ")),
    ...others.options.map(quoted),
  ];
  throw new UsageError(
    `A question goes in quotes, and this came as ${questions.length} arguments: ${command.join(" ")} ` +
      '(Of several questions, each takes its own quotes, and one of a single word a question mark: "why?")',
  );
}

/** Quotes an argument as it is typed. */
function quoted(text: string): string {
  if (/^[\w./:=@%+,-]+$/.test(text)) return text;
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}
