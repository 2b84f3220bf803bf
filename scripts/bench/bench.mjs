// Times neuron-blip against the other ways to run BLIP on this machine, in turn, in one run: the tutorial's pipeline in Python,
// transformers, ONNX Runtime, and onnxruntime-node; and how near each comes to the machine's limit. Makes what it needs (a Python environment, a model of full size with random
// weights, pictures).
//   npm run bench
//   npm run bench -- --only whole,stages --rounds 5 --json bench.json --html bench.html
//   npm run bench -- --quick          a trial run with a tiny model, whose figures mean nothing
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { native } from "../../dist/torch/native.js";
import { runMain, SetupError } from "../addon/host.mjs";
import { Competitors } from "./competitors.mjs";
import { page } from "./page.mjs";
import { PICTURES, prepare } from "./prepare.mjs";
import { reportOf } from "./report.mjs";
import { spread } from "./rounds.mjs";
import { SECTIONS } from "./sections.mjs";
import { barWords, columns, figure, shareWords, TITLES } from "./words.mjs";
import { workOfModel } from "./work.mjs";

const HELP = `Usage: npm run bench -- [options]

  --only SECTION,…   some of: ${Object.keys(SECTIONS).join(", ")} (default: all)
  --rounds N         how often each is measured (default 7)
  --threads N        for every competitor (default: all cores)
  --quick            a tiny model and two rounds: whether it runs, not how fast
  --json FILE        write all samples (default: neuron-blip-bench.json)
  --html FILE        write a page with plots (default: neuron-blip-bench.html)

NEURON_BLIP_BENCH_PYTHON names a Python with the packages of scripts/bench/requirements.txt, instead of an environment of its own.
It takes about half an hour, 13 GB of memory and, in the cache, 7.4 GB of disk.`;

/** Each round's first answer has as many tokens, and so have all others. */
const TOKENS = 3;
/** Of a question's 8 tokens those between [CLS] and [SEP]. */
const WORDS = 6;

/** @param {string} option @param {string} text */
function count(option, text) {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new SetupError(`--${option} takes a whole number from 1, not "${text}".`);
  return Number(text);
}

/** Questions of so many words that each is one token. @param {string} directory of a tokenizer */
function questionsOf(directory) {
  const { model } = JSON.parse(readFileSync(join(directory, "tokenizer.json"), "utf8"));
  const words = Object.keys(model.vocab).filter((word) => /^[a-z]{3,}$/.test(word));
  return (/** @type {number} */ index) =>
    // Strides without a common factor: near indexes have no question in common.
    Array.from({ length: WORDS }, (_, i) => words[(index * 7 + i * (11 + (index % 13))) % words.length]).join(" ");
}

/** @returns {import("./rounds.mjs").Result[]} */
const noResults = () => [];

/**
 * Adds results; samples of what was measured before join those.
 * @param {import("./rounds.mjs").Result[]} results @param {readonly import("./rounds.mjs").Result[]} more
 */
function add(results, more) {
  for (const result of more) {
    const before = results.find(({ task, competitor }) => task === result.task && competitor === result.competitor);
    if (before === undefined) results.push(result);
    else before.samples.push(...result.samples);
  }
}

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      rounds: { type: "string" },
      threads: { type: "string", default: String(availableParallelism()) },
      quick: { type: "boolean", default: false },
      json: { type: "string", default: "neuron-blip-bench.json" },
      html: { type: "string", default: "neuron-blip-bench.html" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const names = values.only?.split(",") ?? Object.keys(SECTIONS);
  const unknown = names.find((name) => !Object.hasOwn(SECTIONS, name));
  if (unknown !== undefined) {
    throw new SetupError(`There is no section "${unknown}". They are ${Object.keys(SECTIONS).join(", ")}.`);
  }
  const { quick } = values;
  const threads = count("threads", values.threads);
  const rounds = count("rounds", values.rounds ?? (quick ? "2" : "7"));
  const startedAt = new Date();
  const prepared = await prepare({ tiny: quick });
  const competitors = new Competitors(prepared, threads);
  /** @param {string} size @param {number} number @returns {(index: number) => string} */
  const picturesOf = (size, number) => (index) =>
    join(prepared.pictures, `${size}-${String(index % number).padStart(2, "0")}.jpg`);
  const bench = {
    competitors,
    small: picturesOf("small", PICTURES.small),
    large: picturesOf("large", PICTURES.large),
    question: questionsOf(prepared.source),
    tokens: TOKENS,
    rounds,
    loadSeconds: quick ? 0.3 : 8,
    delaySeconds: quick ? 0.5 : 60,
    threads,
    hasBfloat16: native().hasBfloat16(),
    work: workOfModel(JSON.parse(readFileSync(join(prepared.source, "config.json"), "utf8")), {
      questionTokens: WORDS + 2,
      answerTokens: TOKENS,
    }),
    answers: new Map(),
    weightsBytes: statSync(join(prepared.source, "model.safetensors")).size,
  };
  const results = noResults();
  // The machine may be slower for minutes: its limits are the best of the beginning and the end.
  const others = names.filter((name) => name !== "limits");
  const order = others.length > 0 && others.length < names.length ? ["limits", ...others, "limits"] : names;
  try {
    for (const name of order) {
      console.log(`\n${TITLES[name]}`);
      const found = await /** @type {(typeof SECTIONS)[string]} */ (SECTIONS[name])(bench);
      add(results, found);
      console.log(
        columns(
          found.map(({ task, competitor, unit, samples }) => {
            const { median, low, high } = spread(samples);
            return ["", task, competitor, `${figure(median)} ${unit}`, `(${figure(low)} to ${figure(high)})`];
          }),
        ),
      );
    }
  } finally {
    await competitors.close();
  }
  const model = quick ? "A tiny BLIP-VQA: the figures mean nothing." : "BLIP-VQA of full size with random weights.";
  const settings = `${model} Questions of 8 tokens, answers of ${TOKENS}, ${rounds} rounds.`;
  const report = reportOf({ startedAt, settings, results }, bench);
  writeFileSync(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
  writeFileSync(values.html, page(report));
  if (report.shares.length > 0) {
    console.log(`\nOf the machine's limit\n${columns(report.shares.map((share) => ["", ...shareWords(share)]))}`);
  }
  if (report.bars.length > 0) console.log(`\nBars\n${columns(report.bars.map((bar) => ["", ...barWords(bar)]))}`);
  console.log(`\n${report.agreement}\nAll samples: ${values.json}. The page: ${values.html}.`);
  return 0;
});
