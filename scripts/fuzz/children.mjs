// Tries what a seeded generator damages, in child processes: none may end the process, fail with an untyped error or one of more than
// 1,000 characters, take more than 10 s, or 2 GB.
// Arguments of every script that uses it: --seed N (default 1), --count N (3000), --from N (0): the first, --only N: that one alone.
import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NeuronBlipError } from "neuron-blip";
import { SetupError } from "../addon/host.mjs";
import { Dice } from "./mutate.mjs";

const LONGEST_MS = 10_000;
const LONGEST_MESSAGE = 1000;
const MOST_MEMORY = 2 * 2 ** 30;
const CHILD_COUNT = 250;

/**
 * Makes one damaged thing in a directory: what it is, and what tries it.
 * @typedef {(dice: Dice, work: string, flags: readonly string[]) => [what: string, run: () => Promise<void>]} Damage
 */

/**
 * @typedef {object} Outcome
 * @property {number} index
 * @property {string} what
 * @property {string} [fault]
 * @property {string} [code] of the error that it failed with
 */

/** @typedef {{seed: number, from: number, to: number, work: string, flags: readonly string[]}} Task */

/**
 * The whole of a script: reads its arguments, runs the children, reports.
 * @param {string} url the script's
 * @param {string} things what they are, for the report
 * @param {readonly string[]} flagNames further arguments, without values
 * @param {Damage} damage
 * @returns {Promise<number>} the exit code
 */
export async function fuzz(url, things, flagNames, damage) {
  const number = { type: /** @type {const} */ ("string") };
  const flag = { type: /** @type {const} */ ("boolean") };
  const { values } = parseArgs({
    options: {
      ...{ seed: number, count: number, from: number, only: number, child: number },
      ...Object.fromEntries(flagNames.map((name) => [name, flag])),
    },
  });
  if (typeof values.child === "string") {
    await beChild(JSON.parse(values.child), damage);
    return 0;
  }
  const of = (/** @type {"seed" | "count" | "from" | "only"} */ name, /** @type {number} */ standard) => {
    const value = Number(values[name] ?? standard);
    if (!Number.isSafeInteger(value) || value < 0) throw new SetupError(`--${name} takes a whole number.`);
    return value;
  };
  const seed = of("seed", 1);
  const flags = flagNames.filter((name) => name in values);
  const first = of("only", of("from", 0));
  const end = values.only === undefined ? first + of("count", 3000) : first + 1;
  const work = mkdtempSync(join(tmpdir(), "neuron-blip-fuzz-"));
  /** @type {Map<string, number>} */
  const codes = new Map();
  let faults = 0;
  const started = performance.now();
  const report = (/** @type {Outcome} */ { index, what, code, fault }) => {
    const counted = code ?? (fault ? "fault" : "loaded and ran");
    codes.set(counted, (codes.get(counted) ?? 0) + 1);
    if (fault === undefined) return;
    faults++;
    console.log(`FAULT at ${index}: ${what}: ${fault}`);
  };
  try {
    for (let from = first; from < end; ) {
      from = await runChild(url, { seed, from, to: Math.min(end, from + CHILD_COUNT), work, flags }, report);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`${end - first} ${things} with seed ${seed}: ${faults} faults, in ${seconds} s`);
  for (const [code, count] of [...codes].sort((a, b) => b[1] - a[1])) console.log(`  ${count}  ${code}`);
  return faults === 0 ? 0 : 1;
}

/**
 * @param {Task} task
 * @param {number} index
 * @param {string} work
 * @param {Damage} damage
 * @returns {Promise<Outcome>}
 */
async function tryOne({ seed, flags }, index, work, damage) {
  const [what, run] = damage(new Dice((seed * 1_000_003 + index) | 0), work, flags);
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

function describe(/** @type {unknown} */ error) {
  return (error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error)).slice(0, 600);
}

/**
 * The child's part: tries one after the other, and says so before and after each.
 * @param {Task} task
 * @param {Damage} damage
 */
async function beChild(task, damage) {
  const say = (/** @type {object} */ message) =>
    /** @type {NonNullable<typeof process.send>} */ (process.send)(message);
  let index = task.from;
  const late = (/** @type {unknown} */ error) =>
    say({ index, what: "afterwards", fault: `nobody caught: ${describe(error)}` });
  process.on("uncaughtException", late);
  process.on("unhandledRejection", late);
  process.removeAllListeners("warning");
  for (; index < task.to; index++) {
    say({ begun: index });
    const place = mkdtempSync(join(task.work, "one-"));
    const outcome = await tryOne(task, index, place, damage);
    rmSync(place, { recursive: true });
    say(outcome);
  }
  process.disconnect();
}

/**
 * Runs a child from an index on, until it ends or must be ended.
 * @param {string} url
 * @param {Task} task
 * @param {(outcome: Outcome) => void} report
 * @returns {Promise<number>} the next index
 */
function runChild(url, task, report) {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(url), ["--child", JSON.stringify(task)], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
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
