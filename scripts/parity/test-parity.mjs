// Compares this package with transformers, run live: test/parity on random models of several shapes and heads and on
// the demo model. Then tests compiling and the shared cache of the Hub (test/slow/python), which need the same Python. That is set up in an environment of
// its own, kept in the cache; NEURON_BLIP_PYTHON names one to use instead.
//   node scripts/parity/test-parity.mjs                     the live comparison
//   node scripts/parity/test-parity.mjs --write-fixtures    write the small committed ones, test/fixtures/parity and test/fixtures/neuron
//   node scripts/parity/test-parity.mjs --full [MODEL…]     instead, compare checkpoints of full size and many small ones: scripts/parity
//   node scripts/parity/test-parity.mjs --write-fixtures checkpoint captions-checkpoint    write only these of test/fixtures/parity
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { run, runMain, SetupError } from "../addon/host.mjs";
import { makeNeuronFixture } from "../fixtures/make-neuron-fixture.mjs";
import { pythonEnvironment } from "./python-environment.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const require = createRequire(import.meta.url);
const fixtures = join(root, "test", "fixtures");

const TRANSFORMERS = process.env.NEURON_BLIP_TRANSFORMERS ?? "5.18.0";
const PACKAGES = [`transformers==${TRANSFORMERS}`, "safetensors", "numpy", "pillow"];

const PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png"].map((name) => join(fixtures, "pictures", name));
const QUESTIONS = [
  "how many dogs are in the picture?",
  "dog?",
  "what color is the big round thing on the left of the small red car?",
  "is there a woman and a boat near the river, or not, in the photo?",
];
const DEMO_PICTURES = ["yellow-star.png", "three-shapes.png", "purple-square.png"];
const DEMO_QUESTIONS = [
  "what is in the picture?",
  "how many shapes are there?",
  "is there a blue triangle in the picture?",
];
const DEMO_SETTINGS = ['{"max_new_tokens": 10}', '{"max_new_tokens": 3}', '{"max_length": 4, "min_length": 4}'];

const TEXTS = ["a cat", "a cup of coffee on a table", "the woman is in the small orange room", "no"];
const LENGTHS = { question: 20, answer: 20, caption: 40 };

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {"question_answering" | "captioning" | "retrieval"} [head] default: the first
 * @property {string[]} [fixture] further arguments of make_fixtures.py: the shape, --seed and the seed, others; without, the demo model
 * @property {number | number[]} [batchSize]
 * @property {boolean} [rank] compile with --rank
 * @property {boolean} [checkpoint] do not compile: the model is the checkpoint itself
 * @property {string[]} [interpolate] of parity_reference.py: also look at pictures of another size
 * @property {string[]} [tutorial] arguments of make_tutorial_fixture.py: parts as the tutorial makes them
 * @property {number} [runs] of generation_reference.py
 */

const RUNS = 150;
/** @type {Case[]} */
const LIVE = [
  { name: "small-seed-1", fixture: ["small", "--seed", "1"], runs: RUNS },
  { name: "deep-seed-2", fixture: ["deep", "--seed", "2"], runs: RUNS, rank: true },
  { name: "wide-seed-3-batch-4", fixture: ["wide", "--seed", "3"], batchSize: 4, runs: RUNS, rank: true },
  { name: "small-seed-4-batch-3", fixture: ["small", "--seed", "4"], batchSize: 3, runs: RUNS },
  {
    name: "deep-seed-11-sharp-batch-2",
    fixture: ["deep", "--seed", "11", "--logit-scale", "3"],
    batchSize: 2,
    runs: RUNS,
    rank: true,
  },
  { name: "wide-seed-10-flat", fixture: ["wide", "--seed", "10", "--logit-scale", "0.3"], runs: RUNS },
  { name: "deep-seed-6-two-batch-sizes", fixture: ["deep", "--seed", "6"], batchSize: [1, 3], runs: RUNS },
  { name: "captions-seed-1-batch-2", head: "captioning", fixture: ["small", "--seed", "1"], batchSize: 2 },
  {
    name: "captions-seed-2-two-widths",
    head: "captioning",
    fixture: ["deep", "--seed", "2", "--vision-width", "96"],
  },
  { name: "retrieval-seed-1-batch-3", head: "retrieval", fixture: ["small", "--seed", "1"], batchSize: 3 },
  { name: "retrieval-seed-2-two-widths", head: "retrieval", fixture: ["wide", "--seed", "2", "--vision-width", "32"] },
  {
    name: "tutorial-384-pixels",
    fixture: ["small", "--seed", "5", "--image-size", "384", "--patch-size", "16"],
    tutorial: ["--question-length", "8", "--answer-length", "20"],
  },
  {
    name: "tutorial-other-lengths",
    fixture: ["small", "--seed", "8"],
    tutorial: ["--question-length", "12", "--answer-length", "9"],
  },
  {
    // As many tokens of a picture as the published models have, and an MLP of several pieces.
    name: "small-seed-9-384-pixels-wide-mlp",
    fixture: ["small", "--seed", "9", "--image-size", "384", "--patch-size", "16", "--feed-forward", "3072"],
    runs: RUNS,
  },
  { name: "checkpoint-seed-12", checkpoint: true, fixture: ["small", "--seed", "12"], runs: RUNS },
  { name: "checkpoint-deep-seed-13", checkpoint: true, fixture: ["deep", "--seed", "13"], runs: RUNS },
  { name: "checkpoint-wide-seed-14", checkpoint: true, fixture: ["wide", "--seed", "14"], runs: RUNS },
  {
    // As many tokens of a picture as the published models have, and an MLP of several pieces.
    name: "checkpoint-seed-15-384-pixels-wide-mlp",
    checkpoint: true,
    fixture: ["small", "--seed", "15", "--image-size", "384", "--patch-size", "16", "--feed-forward", "3072"],
    runs: RUNS,
  },
  {
    name: "captions-checkpoint-seed-2-two-widths",
    checkpoint: true,
    head: "captioning",
    fixture: ["deep", "--seed", "2", "--vision-width", "96"],
  },
  {
    name: "retrieval-checkpoint-seed-2-two-widths",
    checkpoint: true,
    head: "retrieval",
    fixture: ["wide", "--seed", "2", "--vision-width", "32"],
  },
  { name: "demo" },
];
const TINY = ["--width", "16", "--feed-forward", "32", "--vision-layers", "1", "--text-layers", "1"];
/** @type {Case[]} */
const COMMITTED = [
  {
    name: "small-batch-2",
    fixture: ["small", "--seed", "0"],
    batchSize: 2,
    runs: 60,
    rank: true,
  },
  {
    name: "checkpoint",
    checkpoint: true,
    fixture: ["small", "--seed", "16", ...TINY, "--text-layers", "2"],
    interpolate: ["--interpolate", "56", "40"],
    runs: 60,
  },
  { name: "two-batch-sizes", fixture: ["small", "--seed", "2", ...TINY], batchSize: [1, 3] },
  {
    name: "captions",
    head: "captioning",
    fixture: ["small", "--seed", "1", ...TINY],
    batchSize: 2,
  },
  {
    name: "captions-checkpoint",
    checkpoint: true,
    head: "captioning",
    fixture: ["small", "--seed", "1", ...TINY, "--vision-width", "32"],
  },
  {
    name: "retrieval-checkpoint",
    checkpoint: true,
    head: "retrieval",
    fixture: ["small", "--seed", "1", ...TINY, "--vision-width", "32"],
  },
  {
    name: "retrieval",
    head: "retrieval",
    fixture: ["small", "--seed", "1", ...TINY],
    batchSize: 2,
  },
  {
    name: "tutorial",
    fixture: ["small", "--seed", "7"],
    tutorial: ["--question-length", "8", "--answer-length", "20"],
  },
  { name: "demo" },
];
/** Cases are made side by side, each by processes of one thread. */
const AT_ONCE = 2;

/**
 * @returns {Promise<string>} a Python with transformers
 */
async function findPython() {
  if (process.env.NEURON_BLIP_PYTHON) return process.env.NEURON_BLIP_PYTHON;
  return pythonEnvironment(`transformers-${TRANSFORMERS}`, PACKAGES, "1.5 GB");
}

/**
 * Makes a case: a model, its compiled parts, and what transformers makes of some pictures and questions.
 * @param {string} python
 * @param {Case} wanted
 * @param {string} directory
 */
async function makeCase(python, wanted, directory) {
  console.log(`neuron-blip: making ${wanted.name}`);
  const scratch = `${directory}.scratch`;
  for (const path of [directory, scratch]) rmSync(path, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  mkdirSync(scratch, { recursive: true });
  /** @param {string[]} args */
  const step = async (...args) => {
    const [script = "", ...rest] = args;
    const code = await run(python, [join(root, "scripts", script), ...rest], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    if (code !== 0) throw new SetupError(`${script} failed.`);
  };
  const { head = "question_answering", fixture, batchSize = 1 } = wanted;
  const images = fixture ? PHOTOGRAPHS : DEMO_PICTURES.map((name) => join(root, "demo", "pictures", name));
  const demo = join(root, "demo", "model");
  const source = fixture ? join(scratch, fixture[0] ?? "") : demo;
  const model = fixture ? join(directory, "model") : demo;
  if (fixture) {
    await step("fixtures/make_fixtures.py", scratch, "--head", head, "--shapes", ...fixture);
    if (wanted.tutorial) {
      await step("fixtures/make_tutorial_fixture.py", model, "--model", source, ...wanted.tutorial);
      // The tutorial's directory has no tokenizer: it comes from the model's.
      for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
        cpSync(join(source, name), join(directory, "tokenizer", name));
      }
    } else if (wanted.checkpoint) {
      cpSync(source, model, { recursive: true });
    } else {
      const options = [
        "--target",
        "cpu",
        "--batch-size",
        ...[batchSize].flat().map(String),
        "--log-dir",
        join(scratch, "logs"),
      ];
      if (head !== "captioning") options.push("--question-length", String(LENGTHS.question));
      if (head !== "retrieval") {
        options.push("--answer-length", String(head === "captioning" ? LENGTHS.caption : LENGTHS.answer));
      }
      if (wanted.rank) options.push("--rank");
      await step("compile/trace.py", source, model, ...options);
    }
  }
  if (head === "question_answering") {
    const questions = fixture ? QUESTIONS : DEMO_QUESTIONS;
    const pictures = ["--images", ...images, "--questions", ...questions];
    const options = fixture
      ? ["--question-length", String(LENGTHS.question), ...(wanted.interpolate ?? [])]
      : ["--question-length", "16", "--settings", ...DEMO_SETTINGS];
    await step("parity/parity_reference.py", source, directory, ...pictures, ...options);
    if (fixture && wanted.runs) {
      const [, , seed = "1"] = fixture;
      const options = ["--runs", String(wanted.runs), "--seed", seed];
      await step("parity/generation_reference.py", source, directory, ...pictures, ...options);
    }
  } else {
    await step("parity/heads_reference.py", source, directory, "--images", ...images, "--texts", ...TEXTS);
  }
  const relativeTo = (/** @type {string} */ path) => relative(directory, path);
  const record = {
    model: relativeTo(model),
    images: images.map(relativeTo),
    ...(wanted.tutorial && { tokenizer: "tokenizer" }),
  };
  writeFileSync(join(directory, "case.json"), `${JSON.stringify(record, null, 2)}\n`);
  if (fixture) {
    rmSync(join(model, ".compiling.lock"), { force: true });
    // The case's own reference tells more than this, which is large.
    if (head === "question_answering") rmSync(join(model, "reference.safetensors"), { force: true });
  }
  rmSync(scratch, { recursive: true, force: true });
}

/** Loaded late: it needs this package built. */
const comparison = () => import("./full.mjs");

await runMain(async () => {
  const python = await findPython();
  const [option, ...only] = process.argv.slice(2);
  if (option === "--full") return (await comparison()).compareWithTransformers(python, { names: only });
  const write = option === "--write-fixtures";
  const cases = write ? join(fixtures, "parity") : join(root, "build", "parity");
  const all = write ? COMMITTED : LIVE;
  // Every directory there is a case: none may be left of an earlier list.
  for (const name of existsSync(cases) ? readdirSync(cases) : []) {
    if (!all.some((wanted) => wanted.name === name)) rmSync(join(cases, name), { recursive: true });
  }
  const waiting = all.filter(({ name }) => only.length === 0 || only.includes(name));
  const makeRest = async () => {
    for (let wanted = waiting.shift(); wanted; wanted = waiting.shift()) {
      await makeCase(python, wanted, join(cases, wanted.name));
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, makeRest));
    if (write && only.length === 0) await makeNeuronFixture(python);
  } finally {
    waiting.length = 0;
  }
  const mocha = require.resolve("mocha/bin/mocha.js");
  const args = [mocha, "--no-config", "--node-option", "import=tsx", "--timeout", "600000"];
  const env = { ...process.env, PARITY_CASES: cases, NEURON_BLIP_PYTHON: python };
  const codes = [];
  for (const tests of write ? ["parity"] : ["parity", "slow/python"]) {
    codes.push(await run(process.execPath, [...args, `test/${tests}/*.test.ts`], { cwd: root, env }));
  }
  if (!write) codes.push(await (await comparison()).compareWithTransformers(python, { smoke: true }));
  return Math.max(...codes);
});
