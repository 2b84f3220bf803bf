import { codeOf, NeuronBlipError, type NeuronBlipErrorCode } from "../errors.js";
import { inTime, ProgressBar } from "../hub/progress-bar.js";
import type { AnswerOptions, CaptionOptions, NeuronBlipOptions } from "../index.js";
import { type BatchOutcome, type BatchProgress, runBatch } from "../tools/batch/batch.js";
import { BatchError } from "../tools/batch/batch-error.js";
import { InUseError } from "../tools/batch/lock.js";
import { readShard } from "../tools/batch/shard.js";
import { HUB_ARGUMENTS, hubHelp, hubOptions, orHubName } from "./hub-arguments.js";
import { OutputError, outputError, say } from "./output.js";
import { command, complaint, count, defined, switches, texts, UsageError, wholeNumber } from "./usage.js";

const HELP = `Asks about many pictures, or describes them, and writes a line of JSON for each. What stops it costs nothing: the same
command goes on where it was.

Usage: neuron-blip batch MODEL --input FILE|DIR --output DIR2 [options]

  MODEL  a model directory, made by \`neuron-blip compile\`;
${orHubName(9)}

  --input FILE|DIR       JSON Lines: {"id": "a", "picture": "a.jpg", "question": "how many?"}, with paths from the file's
                         directory; or a directory, whose pictures are taken with those of its subdirectories
  --output DIR2          where part-I-of-N.jsonl goes; made if need be
  --shard I/N            the lines of shard I, from 1 to N, by a hash of their ids (default 1/1); auto/N takes I from
                         JOB_COMPLETION_INDEX, which counts from 0
  --question TEXT        asked of every picture whose line has none; give it for each
  --restart              begin anew, where there is an output of an earlier run
  --prompt TEXT          what captions begin with (default: nothing)
  --num-beams N          beam search with N beams (default 1: greedy)
  --alternatives N       write the N best answers, by beam search with at least N beams
  --max-new-tokens N     the longest answer, in tokens (default 20, or what was compiled)
  --min-length N         the shortest, its first token included (default 0)
  --truncate             cut questions that are longer than the compiled length (default: an error)
  --replicas N|all       how many replicas to load; all: one for each NeuronCore (default 1)
  --threads N            cores of the CPU for each replica (default: an equal share)
  --decoder-threads N    how many pictures are decoded at a time (default: one for each core, but 2 to 4)
  --dtype TYPE           of a checkpoint on the CPU: float32, bfloat16 or int8
${hubHelp(23)}
  --tokenizer MODEL      where the tokenizer's files are, if not with the model
  --max-pixels N         refuse a picture that declares more pixels (default 89478485)
  --question-length N    the compiled lengths, for a directory without a manifest (default: found by trial)
  --answer-length N
  --help                 print this

A line that is bad, or a picture that cannot be read, has its error as its result. Progress goes to the standard error.
Exit codes: 0 done, 1 failed, and the same command again may help, 2 wrong arguments, input or model: do not try again,
143 and 130 stopped by SIGTERM and SIGINT, after the pictures under way.`;

const OPTIONS = {
  ...texts("input", "output", "shard", "prompt", "num-beams", "alternatives", "max-new-tokens", "min-length"),
  ...texts("replicas", "threads", "decoder-threads", "dtype", "tokenizer", "max-pixels"),
  ...texts("question-length", "answer-length"),
  ...switches("restart", "truncate"),
  ...HUB_ARGUMENTS,
  question: "strings",
} as const;

/** What fails in the same way the next time. */
const FINAL: readonly NeuronBlipErrorCode[] = [
  ...(["ADDON_NOT_BUILT", "BUNDLED", "LIBTORCH_NOT_FOUND", "NEURON_RUNTIME_MISMATCH", "INVALID_INPUT"] as const),
  ...(["ARTIFACT_NOT_FOUND", "ARTIFACT_CORRUPT", "ARTIFACT_MISMATCH", "HUB_ACCESS_DENIED", "HUB_OFFLINE"] as const),
];

const STOPPED = { SIGTERM: 143, SIGINT: 130 } as const;

/** Where there is no terminal, how often a line says how far it is. */
const LINE_EVERY_MS = 30_000;

/** Runs `neuron-blip batch`. */
export const run = command(HELP, OPTIONS, async ({ values, positionals }) => {
  const [model, ...others] = positionals;
  const { input, output } = values;
  if (model === undefined || others.length > 0 || input === undefined || output === undefined) {
    throw new UsageError("batch takes one model, --input and --output. `neuron-blip batch --help` tells more.");
  }
  const alternatives = wholeNumber("alternatives", values.alternatives);
  const numBeams = wholeNumber("num-beams", values["num-beams"]);
  const options = defined<AnswerOptions & CaptionOptions>({
    prompt: values.prompt,
    numBeams: alternatives === undefined ? numBeams : Math.max(alternatives, numBeams ?? 1),
    numReturnSequences: alternatives,
    maxNewTokens: wholeNumber("max-new-tokens", values["max-new-tokens"]),
    minLength: wholeNumber("min-length", values["min-length"]),
    truncation: values.truncate,
  });
  const loading = defined<NeuronBlipOptions>({
    numModels: values.replicas === "all" ? "all" : count("replicas", values.replicas),
    threads: count("threads", values.threads),
    decoderThreads: count("decoder-threads", values["decoder-threads"]),
    dtype: dtypeOf(values.dtype),
    tokenizer: values.tokenizer,
    maxPixels: count("max-pixels", values["max-pixels"]),
    questionLength: wholeNumber("question-length", values["question-length"]),
    answerLength: wholeNumber("answer-length", values["answer-length"]),
  });
  const hub = hubOptions(values);

  const stopped = new AbortController();
  let code = 0;
  const stop = (signal: keyof typeof STOPPED) => {
    if (stopped.signal.aborted) process.exit(code);
    code = STOPPED[signal];
    say("neuron-blip: stopping after the pictures under way; the same command goes on there.");
    stopped.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  const shown = progressOf();
  try {
    const shard = readShard(values.shard ?? "1/1", process.env);
    const questions = values.question ?? [];
    const { progress } = shown;
    const { restart = false } = values;
    const { signal } = stopped;
    const given = { model, hub, loading, input, output, shard, questions, options, restart, signal, progress };
    const outcome = await runBatch(given);
    shown.end();
    say(`neuron-blip: ${inWords(outcome)}`);
    return outcome.state === "stopped" ? code : 0;
  } catch (error) {
    shown.end();
    if (stopped.signal.aborted) return code;
    if (error instanceof BatchError) throw new UsageError(error.message);
    if (error instanceof InUseError) throw new OutputError(error.message);
    if (error instanceof NeuronBlipError && FINAL.includes(error.code)) {
      say(complaint(error));
      return 2;
    }
    throw codeOf(error) !== undefined && !(error instanceof NeuronBlipError)
      ? outputError(`into "${output}"`, error)
      : error;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
});

function dtypeOf(text: string | undefined): "float32" | "bfloat16" | "int8" | undefined {
  if (text === undefined || text === "float32" || text === "bfloat16" || text === "int8") return text;
  throw new UsageError(`--dtype takes float32, bfloat16 or int8, not "${text.slice(0, 100)}".`);
}

/** Shows how far it is: by a bar on a terminal, elsewhere by a line now and then. */
function progressOf(): { progress(progress: BatchProgress): void; end(): void } {
  if (process.stderr.isTTY) {
    const bar = new ProgressBar(process.stderr, undefined, inPictures);
    return {
      progress: ({ path, done, total }) => bar.update({ model: path, file: "pictures", loaded: done, total }),
      end: () => bar.end(),
    };
  }
  const began = performance.now();
  let last = began;
  return {
    progress: ({ path, done, failed, earlier, total }) => {
      const now = performance.now();
      if (now - last < LINE_EVERY_MS) return;
      last = now;
      const speed = (done - earlier) / ((now - began) / 1000);
      const left = inTime((total - done) / speed);
      say(`neuron-blip: ${path}: ${done} of ${total}, ${failed} failed, ${inPictures(speed)} pictures/s, ${left} left`);
    },
    end: () => {},
  };
}

function inPictures(amount: number): string {
  return amount >= 100 || Number.isInteger(amount) ? String(Math.round(amount)) : amount.toPrecision(3);
}

function inWords({ path, state, done, failed, earlier, seconds, leftOut }: BatchOutcome): string {
  if (state === "was whole before") return `${path} was whole before.`;
  const here = done - earlier;
  const words = [
    `${path} is ${state === "whole" ? "whole" : "not whole yet"}: ${done} lines, ${failed} of them failed.`,
    `${here} in this run, ${inPictures(here / Math.max(seconds, 0.001))} pictures/s.`,
    ...(leftOut > 0 ? [`${leftOut} files that are no pictures were left out.`] : []),
  ];
  return words.join(" ");
}
