import type { Answer, AnswerOptions, NeuronBlipOptions, Picture } from "../index.js";
import { NeuronBlip } from "../neuron-blip.js";
import { itemAt } from "../util/item-at.js";
import { HUB_ARGUMENTS, hubHelp, loadingOptions, orHubName } from "./hub-arguments.js";
import { print } from "./output.js";
import { pictureOf } from "./picture-argument.js";
import { checkQuoted } from "./questions.js";
import { checkTogether, command, defined, switches, texts, UsageError, wholeNumber } from "./usage.js";

const HELP = `Asks a picture one or more questions.

Usage: neuron-blip ask MODEL IMAGE QUESTION… [options]

  MODEL     a model directory, made by \`neuron-blip compile\` or by the tutorial's trace();
${orHubName(12)}
  IMAGE     a JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP file; - reads one from the standard input
  QUESTION  one or more, each in quotes: "how many dogs are there?"; one of a single word needs a question mark

  --num-beams N          beam search with N beams (default 1: greedy)
  --alternatives N       print the N best answers, by beam search with at least N beams
  --max-new-tokens N     the longest answer, in tokens (default 20, or what was compiled)
  --min-length N         the shortest, its first token included (default 0)
  --stream               print the answer as it is generated; for one question
  --candidates "A,B,C"   rank these answers instead, and print each with its probability among them
  --truncate             cut questions that are longer than the compiled length (default: an error)
  --json                 print one JSON object per question: {image, question, answer, score, sumLogProbability,
                         meanLogProbability, tokenIds, …}, with the further answers as alternatives; or
                         {image, question, candidates}
${hubHelp(23)}
  --tokenizer MODEL      where the tokenizer's files are, if not with the model
  --max-pixels N         refuse a picture that declares more pixels (default 89478485)
  --question-length N    the compiled lengths, for a directory without a manifest (default: found by trial)
  --answer-length N
  --help                 print this

Exit codes: 0 answered, 1 failed, 2 wrong arguments.`;

const OPTIONS = {
  ...texts(
    "num-beams",
    "alternatives",
    "max-new-tokens",
    "min-length",
    "candidates",
    "tokenizer",
    "max-pixels",
    "question-length",
    "answer-length",
  ),
  ...switches("stream", "truncate", "json"),
  ...HUB_ARGUMENTS,
} as const;

/** Runs `neuron-blip ask`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals, given }) => {
  const [model, image, ...questions] = positionals;
  if (model === undefined || image === undefined || questions.length === 0) {
    throw new UsageError(
      "ask takes a model, a picture and at least one question. `neuron-blip ask --help` tells more.",
    );
  }
  checkQuoted(questions, { before: ["ask", model, image], options: given });
  checkTogether(values, "stream", ["candidates", "num-beams", "alternatives", "json"]);
  checkTogether(values, "candidates", ["num-beams", "alternatives", "max-new-tokens", "min-length"]);
  if (values.stream && questions.length > 1) throw new UsageError("--stream takes one question.");
  const candidates = values.candidates === undefined ? undefined : listOf("candidates", values.candidates);
  const options = defined<NeuronBlipOptions>({
    ...loadingOptions(values),
    tokenizer: values.tokenizer,
    questionLength: wholeNumber("question-length", values["question-length"]),
    answerLength: wholeNumber("answer-length", values["answer-length"]),
  });
  const alternatives = wholeNumber("alternatives", values.alternatives);
  const numBeams = wholeNumber("num-beams", values["num-beams"]);
  const { truncate: truncation } = values;
  const answerOptions = defined<AnswerOptions>({
    numBeams: alternatives === undefined ? numBeams : Math.max(alternatives, numBeams ?? 1),
    numReturnSequences: alternatives,
    maxNewTokens: wholeNumber("max-new-tokens", values["max-new-tokens"]),
    minLength: wholeNumber("min-length", values["min-length"]),
    truncation,
  });

  const picture = await pictureOf(image);
  await using blip = await NeuronBlip.fromPretrained(model, options);
  if (values.stream) await stream(blip, picture, itemAt(questions, 0), answerOptions);
  else if (candidates) {
    for (const question of questions) {
      const ranked = await blip.rank(picture, question, candidates, defined({ truncation }));
      if (values.json) print(JSON.stringify({ image, question, candidates: ranked }));
      else {
        print(question);
        for (const { answer, probability } of ranked) print(`  ${answer} (probability ${probability.toFixed(3)})`);
      }
    }
  } else {
    const answers = await blip.answer(picture, questions, answerOptions);
    for (const [i, answer] of answers.entries()) {
      const question = questions[i];
      if (values.json) print(JSON.stringify({ image, question, ...answer }));
      else {
        print(`${question} ${inWords(answer)}`);
        for (const other of answer.alternatives ?? []) print(`  or: ${inWords(other)}`);
      }
    }
  }
  return 0;
});

async function stream(blip: NeuronBlip, image: Picture, question: string, options: AnswerOptions): Promise<void> {
  for await (const piece of blip.stream(image, question, options)) process.stdout.write(piece);
  process.stdout.write("\n");
}

function inWords({ answer, score }: Answer): string {
  return `${answer} (score ${score.toFixed(3)})`;
}

/** Reads an option that is a list, with commas between. */
function listOf(name: string, text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  if (items.includes("")) throw new UsageError(`--${name} takes a list such as "yes,no", not "${text.slice(0, 100)}".`);
  return items;
}
