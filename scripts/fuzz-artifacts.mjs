// Loads and runs mutated TorchScript files and model directories through the public API, in child processes: none may end the process,
// fail with an untyped error or one of more than 1,000 characters, take more than 10 s, or 2 GB.
// Arguments: --seed N (default 1), --count N (3000), --from N (0): the first, --only N: that one alone, --sealed: change records of
// TorchScript files and give them their new checksums, which is what no check of damage can tell from a stranger's program: some then
// take all the memory or time that they ask for (with seed 1 those at 1281 and 1615), as the README warns.
import { fork } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NeuronBlip, NeuronBlipError, Tensor, TorchModule } from "neuron-blip";
import { Dice, mutateJson, mutateModule } from "./fuzz/mutate.mjs";
import { runMain, SetupError } from "./host.mjs";

const script = fileURLToPath(import.meta.url);
const fixtures = join(dirname(dirname(script)), "test/fixtures");
const LONGEST_MS = 10_000;
const LONGEST_MESSAGE = 1000;
const MOST_MEMORY = 2 * 2 ** 30;

/** Small modules whose forward ends. */
const MODULES = readdirSync(join(fixtures, "modules"))
  .filter((name) => name.endsWith(".pt") && !["endless.pt", "slow.pt", "temporaries.pt"].includes(name))
  .map((name) => join(fixtures, "modules", name));
const DIRECTORIES = ["neuron/cpu", "parity/tutorial/model", "parity/captions/model", "parity/cpu-parts/model"].map(
  (name) => join(fixtures, name),
);
const PARTS = DIRECTORIES.flatMap((directory) =>
  readdirSync(directory)
    .filter((name) => name.endsWith(".pt"))
    .map((name) => join(directory, name)),
);
const PICTURE = join(fixtures, "pictures/chelsea.png");

/**
 * @typedef {object} Outcome
 * @property {number} index
 * @property {string} what
 * @property {string} [fault]
 * @property {string} [code] of the error that it failed with
 */

/**
 * Mutates, loads and runs one artifact.
 * @param {number} seed
 * @param {number} index
 * @param {string} work
 * @param {boolean} seals
 * @returns {Promise<Outcome>}
 */
async function tryOne(seed, index, work, seals) {
  const dice = new Dice((seed * 1_000_003 + index) | 0);
  const isDirectory = !seals && dice.below(3) === 0;
  const [what, run] = isDirectory ? mutatedDirectory(dice, work) : mutatedModule(dice, work, seals);
  try {
    await run();
    return { index, what };
  } catch (error) {
    if (!(error instanceof NeuronBlipError)) return { index, what, fault: `untyped error: ${describe(error)}` };
    const { code, message } = error;
    const fault = message.length > LONGEST_MESSAGE ? `a message of ${message.length} characters` : undefined;
    return { index, what, code, ...(fault && { fault: `${fault}: ${message.slice(0, 200)}` }) };
  }
}

/** @returns {[string, () => Promise<void>]} */
function mutatedModule(/** @type {Dice} */ dice, /** @type {string} */ work, /** @type {boolean} */ seals) {
  const source = dice.pick(dice.below(4) === 0 ? PARTS : MODULES);
  const { how, bytes } = mutateModule(readFileSync(source), dice, readFileSync(dice.pick(MODULES)), seals);
  const path = join(work, basename(source));
  writeFileSync(path, bytes);
  return [`${how} of ${basename(dirname(source))}/${basename(source)}`, () => runModule(path)];
}

async function runModule(/** @type {string} */ path) {
  const module = await TorchModule.load(path);
  try {
    const inputs = module.signature.inputs.map(({ type }) => inputOf(type, basename(path)));
    await module.forward(inputs);
  } finally {
    await module.dispose();
  }
}

/**
 * @param {string} type
 * @param {string} name of the file, which says what tensors it takes
 * @returns {import("neuron-blip").TorchInput}
 */
function inputOf(type, name) {
  if (type === "Tensor" || type === "Optional[Tensor]") {
    return Tensor.zeros("float32", name === "resnet.pt" ? [1, 3, 32, 32] : [2, 3]);
  }
  if (type.startsWith("List")) return [];
  if (type.startsWith("Dict")) return {};
  if (type.startsWith("Tuple")) return [1, "x"];
  if (type === "str" || type === "Device") return "cpu";
  return type === "bool" ? true : 3;
}

/** @returns {[string, () => Promise<void>]} */
function mutatedDirectory(/** @type {Dice} */ dice, /** @type {string} */ work) {
  const source = dice.pick(DIRECTORIES);
  const directory = join(work, "model");
  cpSync(source, directory, { recursive: true });
  const extension = dice.below(4) === 0 ? ".pt" : ".json";
  const name = dice.pick(readdirSync(directory).filter((file) => file.endsWith(extension)));
  const file = readFileSync(join(directory, name));
  const { how, bytes } = name.endsWith(".pt") ? mutateModule(file, dice, file, false) : mutateJson(file, dice);
  writeFileSync(join(directory, name), bytes);
  return [
    `${how} of ${name} in ${source.slice(fixtures.length + 1)}`,
    () => runModel(directory, basename(dirname(source))),
  ];
}

async function runModel(/** @type {string} */ directory, /** @type {string} */ kind) {
  const tokenizer = kind === "tutorial" ? { tokenizer: join(fixtures, "parity/captions/model") } : {};
  const blip = await NeuronBlip.fromPretrained(directory, { threads: 1, ...tokenizer });
  try {
    if (kind === "captions") await blip.caption(PICTURE, { maxNewTokens: 2 });
    else await blip.answer(PICTURE, "what is it?", { maxNewTokens: 2 });
  } finally {
    await blip.dispose();
  }
}

function describe(/** @type {unknown} */ error) {
  return (error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error)).slice(0, 600);
}

/** The child's part: tries artifacts one after the other, and says so before and after each. */
async function beChild(
  /** @type {{seed: number, from: number, to: number, work: string, seals: boolean}} */ { seed, from, to, work, seals },
) {
  const say = (/** @type {object} */ message) =>
    /** @type {NonNullable<typeof process.send>} */ (process.send)(message);
  let index = from;
  const late = (/** @type {unknown} */ error) =>
    say({ index, what: "afterwards", fault: `nobody caught: ${describe(error)}` });
  process.on("uncaughtException", late);
  process.on("unhandledRejection", late);
  process.removeAllListeners("warning");
  for (; index < to; index++) {
    say({ begun: index });
    const place = mkdtempSync(join(work, "one-"));
    const outcome = await tryOne(seed, index, place, seals);
    rmSync(place, { recursive: true });
    say(outcome);
  }
  process.disconnect();
}

/**
 * Runs a child from an index on, until it ends or must be ended.
 * @param {{seed: number, from: number, to: number, work: string, seals: boolean}} task
 * @param {(outcome: Outcome) => void} report
 * @returns {Promise<number>} the next index
 */
function runChild(task, report) {
  return new Promise((resolve) => {
    const child = fork(script, ["--child", JSON.stringify(task)], { stdio: ["ignore", "ignore", "pipe", "ipc"] });
    let index = task.from - 1;
    let isDone = true;
    let since = performance.now();
    let words = "";
    let why = "";
    child.stderr?.on("data", (text) => {
      words = (words + text).slice(-500);
    });
    child.on("message", (/** @type {any} */ message) => {
      since = performance.now();
      if (message.begun === undefined) {
        if (message.index === index) isDone = true;
        report(message);
      } else {
        index = message.begun;
        isDone = false;
      }
    });
    const watch = setInterval(() => {
      if (!isDone && performance.now() - since > LONGEST_MS) why = `more than ${LONGEST_MS} ms`;
      if (memoryOf(child.pid ?? 0) > MOST_MEMORY) why = "more than 2 GB of memory";
      if (why !== "") child.kill("SIGKILL");
    }, 100);
    child.on("close", (code, signal) => {
      clearInterval(watch);
      if (!isDone || code !== 0) {
        const fault = why || `the process ended: ${signal ?? code} ${words}`;
        report({ index, what: isDone ? "at the end" : "", fault });
      }
      resolve(index + 1);
    });
  });
}

function memoryOf(/** @type {number} */ pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
  } catch {
    return 0; // it has ended, or this is not Linux
  }
}

async function main() {
  const number = { type: /** @type {const} */ ("string") };
  const { values } = parseArgs({
    options: { seed: number, count: number, from: number, only: number, child: number, sealed: { type: "boolean" } },
  });
  if (values.child !== undefined) {
    await beChild(JSON.parse(values.child));
    return 0;
  }
  const of = (/** @type {"seed" | "count" | "from" | "only"} */ name, /** @type {number} */ standard) => {
    const value = Number(values[name] ?? standard);
    if (!Number.isSafeInteger(value) || value < 0) throw new SetupError(`--${name} takes a whole number.`);
    return value;
  };
  const first = of("only", of("from", 0));
  const end = values.only === undefined ? first + of("count", 3000) : first + 1;
  const work = mkdtempSync(join(tmpdir(), "neuron-blip-fuzz-"));
  /** @type {Map<string, number>} */
  const codes = new Map();
  let faults = 0;
  const started = performance.now();
  const report = (/** @type {Outcome} */ { index, what, code, fault }) => {
    codes.set(
      code ?? (fault ? "fault" : "loaded and ran"),
      (codes.get(code ?? (fault ? "fault" : "loaded and ran")) ?? 0) + 1,
    );
    if (fault === undefined) return;
    faults++;
    console.log(`FAULT at ${index}: ${what}: ${fault}`);
  };
  try {
    for (let from = first; from < end; ) {
      from = await runChild(
        { seed: of("seed", 1), from, to: Math.min(end, from + 250), work, seals: values.sealed ?? false },
        report,
      );
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`${end - first} mutated artifacts with seed ${of("seed", 1)}: ${faults} faults, in ${seconds} s`);
  for (const [code, count] of [...codes].sort((a, b) => b[1] - a[1])) console.log(`  ${count}  ${code}`);
  return faults === 0 ? 0 : 1;
}

await runMain(main);
