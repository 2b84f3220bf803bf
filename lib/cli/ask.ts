import { type AnswerOptions, NeuronBlip, type NeuronBlipOptions } from "../neuron-blip.js";
import { parse, UsageError, wholeNumber } from "./usage.js";

const HELP = `Asks a picture one or more questions.

Usage: neuron-blip ask DIR IMAGE QUESTION… [options]

  DIR       a model directory, made by \`neuron-blip compile\` or by the tutorial's trace()
  IMAGE     a JPEG, PNG, GIF, BMP or TIFF file
  QUESTION  one or more, each in quotes

  --json                 print one JSON object per question: {image, question, answer, score, sumLogProbability,
                         meanLogProbability, tokenIds}
  --max-new-tokens N     the longest answer, in tokens (default 20, or what was compiled)
  --min-length N         the shortest, its first token included (default 0)
  --truncate             cut questions that are longer than the compiled length (default: an error)
  --tokenizer DIR        where the tokenizer's files are, if not in DIR
  --question-length N    the compiled lengths, for a directory without a manifest (default: found by trial)
  --answer-length N
  --help                 print this

Exit codes: 0 answered, 1 failed, 2 wrong arguments.`;

/** `neuron-blip ask`. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    json: "boolean",
    "max-new-tokens": "string",
    "min-length": "string",
    truncate: "boolean",
    tokenizer: "string",
    "question-length": "string",
    "answer-length": "string",
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [directory, image, ...questions] = positionals;
  if (directory === undefined || image === undefined || questions.length === 0) {
    throw new UsageError(
      "ask takes a model directory, a picture and at least one question. `neuron-blip ask --help` tells more.",
    );
  }
  const options = defined<NeuronBlipOptions>({
    tokenizer: values.tokenizer,
    questionLength: wholeNumber("question-length", values["question-length"]),
    answerLength: wholeNumber("answer-length", values["answer-length"]),
  });
  const answerOptions = defined<AnswerOptions>({
    maxNewTokens: wholeNumber("max-new-tokens", values["max-new-tokens"]),
    minLength: wholeNumber("min-length", values["min-length"]),
    truncation: values.truncate,
  });

  await using blip = await NeuronBlip.fromPretrained(directory, options);
  const answers = await blip.answer(image, questions, answerOptions);
  for (const [i, answer] of answers.entries()) {
    const question = questions[i];
    if (values.json) console.log(JSON.stringify({ image, question, ...answer }));
    else console.log(`${question} ${answer.answer} (score ${answer.score.toFixed(3)})`);
  }
  return 0;
}

/** The options that were given. */
function defined<T extends object>(options: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
