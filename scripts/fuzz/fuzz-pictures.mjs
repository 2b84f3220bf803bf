/**
 * Damages the test suite's pictures at random, and gives them to the public API of dist/: each must be decoded, or refused by an
 * error that is typed, short and soon there, and none may end the process.
 *
 *   node scripts/fuzz/fuzz-pictures.mjs [--seed 1] [--count 10000] [--decoder sharp|jimp]
 *   node scripts/fuzz/fuzz-pictures.mjs --seed 1 --only 4711 --write damaged.png      # one of them, to look at
 *
 * Exits with 1 where any dies, is untyped, has a message over 1,000 characters or takes over 10 s.
 */
import { fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { damagedPicture } from "./damaged-pictures.mjs";

const PROCESSES = 2;
/** In each process: as many as are decoded at a time, so that none waits for another. */
const AT_A_TIME = 2;
const SLOW_MS = 10_000;
/** After so long without a word a process is taken to hang. */
const SILENT_MS = 120_000;
const LONGEST_MESSAGE = 1000;

/**
 * @typedef {{ outcome: string, failure?: string }} Outcome
 * @typedef {Outcome & { index: number, ms: number }} Finished a picture's outcome, and how long it took
 * @typedef {{ begun: number }} Begun
 */

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "10000" },
    decoder: { type: "string", default: "sharp" },
    only: { type: "string" },
    write: { type: "string" },
    from: { type: "string" },
    step: { type: "string" },
  },
});
const decoder = decoderNamed(options.decoder);
const seed = Number(options.seed);
const count = Number(options.count);

if (options.only !== undefined) {
  const { name, bytes } = damagedPicture(seed, Number(options.only));
  if (options.write) writeFileSync(options.write, bytes);
  console.log(name, bytes.length, "bytes", await outcomeOf(await import("neuron-blip"), bytes));
} else if (options.from !== undefined) await decodeAll(Number(options.from), Number(options.step));
else await main();

/** @param {string} name */
function decoderNamed(name) {
  if (name === "sharp" || name === "jimp") return name;
  throw new Error(`--decoder is sharp or jimp, not ${name}`);
}

async function main() {
  const started = performance.now();
  /** @type {Record<string, number>} */
  const outcomes = {};
  /** @type {{ index: number, failure: string }[]} */
  const failures = [];
  let done = 0;
  /** @param {Finished} finished */
  const record = ({ index, outcome, failure, ms }) => {
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (failure) failures.push({ index, failure });
    if (ms > SLOW_MS) failures.push({ index, failure: `took ${Math.round(ms)} ms` });
    if (++done % 500 === 0) console.log(`${done} of ${count}, ${Math.round((performance.now() - started) / 1000)} s`);
  };
  await Promise.all(Array.from({ length: PROCESSES }, (_, lane) => runProcesses(lane, record)));
  console.log(
    `seed ${seed}, decoder ${options.decoder}: ${count} pictures in ${Math.round((performance.now() - started) / 1000)} s`,
  );
  console.log(outcomes);
  for (const { index, failure } of failures)
    console.log(`picture ${index} (${damagedPicture(seed, index).name}): ${failure}`);
  console.log(failures.length === 0 ? "none failed" : `${failures.length} failed`);
  process.exitCode = failures.length === 0 && done === count ? 0 : 1;
}

/**
 * One process after another: where one dies, the next goes on behind what it died of.
 * @param {number} lane
 * @param {(finished: Finished) => void} record
 */
async function runProcesses(lane, record) {
  for (let from = lane; from < count; ) from = await runProcess(from, record);
}

/**
 * @param {number} from
 * @param {(finished: Finished) => void} record
 * @returns {Promise<number>} the index that the next process begins with
 */
function runProcess(from, record) {
  return new Promise((resolve) => {
    const child = fork(
      fileURLToPath(import.meta.url),
      [
        "--seed",
        options.seed,
        "--count",
        options.count,
        "--decoder",
        options.decoder,
        "--from",
        `${from}`,
        "--step",
        `${PROCESSES}`,
      ],
      { cwd: root, stdio: ["ignore", "ignore", "pipe", "ipc"] },
    );
    /** @type {Set<number>} */
    const inHand = new Set();
    let next = from;
    let said = "";
    const silence = setTimeout(() => child.kill("SIGKILL"), SILENT_MS);
    child.stderr?.on("data", (text) => {
      said = (said + text).slice(-2000);
    });
    /** @param {Begun | Finished} message */
    const hear = (message) => {
      silence.refresh();
      if ("begun" in message) {
        inHand.add(message.begun);
        next = message.begun + PROCESSES;
      } else {
        inHand.delete(message.index);
        record(message);
      }
    };
    child.on("message", (message) => hear(/** @type {Begun | Finished} */ (message)));
    child.on("close", (code, signal) => {
      clearTimeout(silence);
      const words =
        said
          .trim()
          .split("\n")
          .filter((line) => /error|fatal/i.test(line))[0] ?? "";
      for (const index of inHand) {
        record({
          index,
          outcome: "died",
          failure: `the process ended with ${signal ?? code} while it was decoded. ${words}`,
          ms: 0,
        });
      }
      if (inHand.size === 0 && next < count) {
        record({
          index: next,
          outcome: "died",
          failure: `the process ended with ${signal ?? code} between pictures. ${words}`,
          ms: 0,
        });
        next += PROCESSES;
      }
      resolve(next);
    });
  });
}

/**
 * In a process of its own.
 * @param {number} from
 * @param {number} step
 */
async function decodeAll(from, step) {
  const library = await import("neuron-blip");
  let next = from;
  const lanes = Array.from({ length: AT_A_TIME }, async () => {
    while (next < count) {
      const index = next;
      next += step;
      const { bytes } = damagedPicture(seed, index);
      process.send?.({ begun: index });
      const started = performance.now();
      const result = await outcomeOf(library, bytes, index);
      process.send?.({ index, ...result, ms: performance.now() - started });
    }
  });
  await Promise.all(lanes);
  process.disconnect();
}

/**
 * Every other picture is decoded to pixels, the others to what the model takes.
 * @param {typeof import("neuron-blip")} library
 * @param {Buffer} bytes
 * @returns {Promise<Outcome>}
 */
async function outcomeOf({ loadImage, BlipImageProcessor, NeuronBlipError }, bytes, index = 0) {
  try {
    if (index % 4 < 2) {
      const { data, width, height, channels } = await loadImage(bytes, { decoder });
      if (data.length === width * height * channels && width > 0 && height > 0) return { outcome: "decoded" };
      return { outcome: "wrong", failure: `${width} x ${height} x ${channels} in ${data.length} bytes` };
    }
    const { data } = await new BlipImageProcessor({ size: { width: 32, height: 32 } }).preprocess(bytes, { decoder });
    if (data.every(Number.isFinite)) return { outcome: "decoded" };
    return { outcome: "wrong", failure: "values that are no numbers" };
  } catch (error) {
    if (!(error instanceof NeuronBlipError)) {
      return { outcome: "untyped", failure: `${error instanceof Error ? error.stack : error}`.slice(0, 1000) };
    }
    if (error.message.length > LONGEST_MESSAGE) {
      return {
        outcome: error.code,
        failure: `a message of ${error.message.length} characters: ${error.message.slice(0, 200)}`,
      };
    }
    const isOfThePicture = error.code === "INVALID_IMAGE" || error.code === "IMAGE_TOO_LARGE";
    return isOfThePicture ? { outcome: error.code } : { outcome: error.code, failure: error.message };
  }
}
