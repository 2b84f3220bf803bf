// Compares this package with transformers, run live: test/parity.test.ts on random models of several shapes and on the demo
// model. Then tests compiling, test/slow/compile.test.ts, which needs the same Python. That is set up in an environment of
// its own, kept in the cache; NEURON_BLIP_PYTHON names one to use instead.
//   node scripts/test-parity.mjs                     the live comparison
//   node scripts/test-parity.mjs --write-fixtures    write the small committed ones, test/fixtures/parity
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory, PINNED_VERSION, PYTORCH_CPU_INDEX, REQUIREMENT } from "./fetch-libtorch.mjs";
import { pythons, run, runMain, SetupError } from "./host.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const fixtures = join(root, "test", "fixtures");

const TRANSFORMERS = process.env.NEURON_BLIP_TRANSFORMERS ?? "5.18.0";
const OTHERS = [`transformers==${TRANSFORMERS}`, "safetensors", "numpy", "pillow"];
const PACKAGES = [REQUIREMENT, ...OTHERS];

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

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string[]} [fixture] arguments of make_fixtures.py; without, the demo model
 * @property {number} [batchSize]
 * @property {string[]} [tutorial] arguments of make_tutorial_fixture.py: parts as the tutorial makes them
 */

/** @type {Case[]} */
const LIVE = [
  { name: "small-seed-1", fixture: ["--shapes", "small", "--seed", "1"] },
  { name: "deep-seed-2", fixture: ["--shapes", "deep", "--seed", "2"] },
  { name: "wide-seed-3-batch-4", fixture: ["--shapes", "wide", "--seed", "3"], batchSize: 4 },
  { name: "small-seed-4-batch-3", fixture: ["--shapes", "small", "--seed", "4"], batchSize: 3 },
  {
    name: "tutorial-384-pixels",
    fixture: ["--shapes", "small", "--seed", "5", "--image-size", "384", "--patch-size", "16"],
    tutorial: ["--question-length", "8", "--answer-length", "20"],
  },
  {
    name: "tutorial-other-lengths",
    fixture: ["--shapes", "small", "--seed", "8"],
    tutorial: ["--question-length", "12", "--answer-length", "9"],
  },
  { name: "demo" },
];
/** @type {Case[]} */
const COMMITTED = [
  { name: "small-batch-2", fixture: ["--shapes", "small", "--seed", "0"], batchSize: 2 },
  {
    name: "tutorial",
    fixture: ["--shapes", "small", "--seed", "7"],
    tutorial: ["--question-length", "8", "--answer-length", "20"],
  },
  { name: "demo" },
];

/**
 * @returns {Promise<string>} a Python with transformers
 */
async function findPython() {
  if (process.env.NEURON_BLIP_PYTHON) return process.env.NEURON_BLIP_PYTHON;
  const environment = join(cacheDirectory(), `venv-transformers-${TRANSFORMERS}`);
  const python = join(environment, "bin", "python");
  const done = join(environment, "complete");
  if (existsSync(done)) return python;
  console.log(`neuron-blip: installing ${PACKAGES.join(", ")} into ${environment} (about 1.5 GB)`);
  rmSync(environment, { recursive: true, force: true });
  const [base] = pythons();
  if (base === undefined || (await run(base, ["-m", "venv", environment])) !== 0) {
    throw new SetupError("the comparison needs Python 3.10 or later with venv: apt-get install python3-venv");
  }
  const install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"];
  // The CPU build as pip is set up here (without retries: where a network does not answer, each costs seconds), then from
  // PyTorch's own index; last, whatever build of that version there is.
  const attempts = [
    ["--retries", "0", ...PACKAGES],
    ["--extra-index-url", PYTORCH_CPU_INDEX, ...PACKAGES],
    [`torch==${PINNED_VERSION}`, ...OTHERS],
  ];
  for (const attempt of attempts) {
    if ((await run(python, [...install, ...attempt])) === 0) {
      writeFileSync(done, "");
      return python;
    }
  }
  throw new SetupError(`pip could not install ${PACKAGES.join(", ")}; its own words are above.`);
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
  let source = join(scratch, "demo");
  let model = join(root, "demo", "model");
  let [images, questions, questionLength] = [
    DEMO_PICTURES.map((name) => join(root, "demo", "pictures", name)),
    DEMO_QUESTIONS,
    16,
  ];
  if (wanted.fixture) {
    await step("make_fixtures.py", scratch, ...wanted.fixture);
    source = join(scratch, /** @type {string} */ (wanted.fixture[1]));
    model = join(directory, "model");
    if (wanted.tutorial) {
      await step("make_tutorial_fixture.py", model, "--model", source, ...wanted.tutorial);
      // The tutorial's directory has no tokenizer: it comes from the model's.
      for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
        cpSync(join(source, name), join(directory, "tokenizer", name));
      }
    } else {
      const lengths = [
        "--question-length",
        "20",
        "--answer-length",
        "20",
        "--batch-size",
        String(wanted.batchSize ?? 1),
      ];
      await step("trace.py", source, model, "--target", "cpu", ...lengths, "--log-dir", join(scratch, "logs"));
    }
    [images, questions, questionLength] = [PHOTOGRAPHS, QUESTIONS, 20];
  } else {
    await step("demo/to_transformers.py", model, source);
  }
  const settings = wanted.fixture
    ? []
    : ["--settings", '{"max_new_tokens": 10}', '{"max_new_tokens": 3}', '{"max_length": 4, "min_length": 4}'];
  await step(
    "parity_reference.py",
    source,
    directory,
    "--images",
    ...images,
    "--questions",
    ...questions,
    "--question-length",
    String(questionLength),
    ...settings,
  );
  const relativeTo = (/** @type {string} */ path) => relative(directory, path);
  const record = {
    model: relativeTo(model),
    images: images.map(relativeTo),
    ...(wanted.tutorial && { tokenizer: "tokenizer" }),
  };
  writeFileSync(join(directory, "case.json"), `${JSON.stringify(record, null, 2)}\n`);
  rmSync(scratch, { recursive: true });
}

await runMain(async () => {
  const python = await findPython();
  const write = process.argv.includes("--write-fixtures");
  const cases = write ? join(fixtures, "parity") : join(root, "build", "parity");
  for (const wanted of write ? COMMITTED : LIVE) await makeCase(python, wanted, join(cases, wanted.name));
  const mocha = require.resolve("mocha/bin/mocha.js");
  const args = [mocha, "--no-config", "--node-option", "import=tsx", "--timeout", "600000"];
  const env = { ...process.env, PARITY_CASES: cases, NEURON_BLIP_PYTHON: python };
  const codes = [];
  for (const test of write ? ["test/parity.test.ts"] : ["test/parity.test.ts", "test/slow/compile.test.ts"]) {
    codes.push(await run(process.execPath, [...args, test], { cwd: root, env }));
  }
  return Math.max(...codes);
});
