/**
 * How long texts hold the event loop, in ms: the longest pause between two turns of it during a call. A pause may be other
 * threads' time, too, which share the cores, V8's own that mark the heap among them: `work` is the longest that the event loop's
 * thread itself was computing, on Linux; elsewhere it is the whole process's.
 *
 * Only the call's own garbage is meant: with --expose-gc what lies about is collected before each. A list's call is measured
 * by --lists in a process of its own, --rounds times: there no other call's results are in the heap that V8 marks meanwhile.
 *
 *   node --expose-gc scripts/bench/bench-text.mjs [--megabytes 5] [--items 100000] [--only TEXT]
 *   node --expose-gc scripts/bench/bench-text.mjs --lists [--rounds 5] [--items 100000]
 *
 * The first of the lists is a control without the library: as many small arrays as the items, made a millisecond at a time for
 * 10 s while other threads compute on every core. Its pause is Node's own on this machine.
 */
import { spawnSync } from "node:child_process";
import { openSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { NeuronBlip } from "../../dist/index.js";

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "5" },
    items: { type: "string", default: "100000" },
    only: { type: "string", default: "" },
    lists: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
  },
});
const length = Number(values.megabytes) * 1e6;
const items = Number(values.items);

const root = fileURLToPath(new URL("../..", import.meta.url));
/** @param {string} name */
const model = (name) => join(root, "test/fixtures/parity", name, "model");
const picture = join(root, "test/fixtures/pictures/chelsea.png");

/** @param {string} text */
const repeated = (text) => text.repeat(Math.ceil(length / text.length)).slice(0, length);
const texts = {
  words: repeated("how many dogs are in the picture "),
  "different words": Array.from({ length: length / 8 }, (_, i) => i.toString(36).padStart(7, "q")).join(" "),
  CJK: repeated("\u4e2d\u6587\u5b57"),
  "combining marks": repeated("\u0301\u0323\u0308"),
  "letters with marks": repeated("e\u0301\u0323 "),
  spaces: repeated(" "),
  "one long word": repeated("a"),
  punctuation: repeated("?!"),
  "[SEP]": repeated("[SEP]"),
  "spaces, then a word": `${repeated(" ")}cat`,
};

const times = process.platform === "linux" ? openSync(`/proc/self/task/${process.pid}/schedstat`, "r") : undefined;
const digits = Buffer.alloc(20);

/**
 * How long the event loop's thread has computed, in ms. Read into one buffer: garbage of every look would be collected, and
 * measured, too.
 */
function computedMs() {
  if (times === undefined) {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
  const count = readSync(times, digits, 0, digits.length, 0);
  let nanoseconds = 0;
  for (let i = 0; i < count; i++) {
    const digit = (digits[i] ?? 0) - 48;
    if (digit < 0) break;
    nanoseconds = nanoseconds * 10 + digit;
  }
  return nanoseconds / 1e6;
}

/**
 * What a call gave, how long it took and the longest pause of the event loop meanwhile, in ms.
 * @param {() => Promise<unknown>} call
 */
async function measure(call) {
  for (let i = 0; i < 3; i++) globalThis.gc?.();
  let longest = 0;
  let longestWork = 0;
  let last = performance.now();
  let lastWork = computedMs();
  let goesOn = true;
  const look = () => {
    const now = performance.now();
    const work = computedMs();
    longest = Math.max(longest, now - last);
    longestWork = Math.max(longestWork, Math.min(now - last, work - lastWork));
    last = now;
    lastWork = work;
    if (goesOn) setImmediate(look);
  };
  setImmediate(look);
  const began = performance.now();
  const result = await call().then(
    () => "done",
    (error) => error.code ?? error.message,
  );
  const whole = performance.now() - began;
  await new Promise(setImmediate);
  goesOn = false;
  return { result, whole, longest, longestWork };
}

/**
 * @param {string} name
 * @param {() => Promise<unknown>} call
 */
async function report(name, call) {
  if (!name.includes(values.only)) return;
  const { result, whole, longest, longestWork } = await measure(call);
  const figures = [longestWork.toFixed(1), longest.toFixed(1), whole.toFixed(0)].map((figure) => figure.padStart(8));
  console.log(`${name.padEnd(52)} ${figures.join(" ")}  ${result}`);
}

if (values.lists) {
  const names = ["control: ", "candidates", "without words", "aborted after 1 s", "settled", "match: ", "similarity: "];
  console.log(`work and pause, the median (the longest) of ${values.rounds}, in ms`);
  for (const name of names) measureAlone(name);
  process.exit();
}

/**
 * Measures a list's call in processes of its own.
 * @param {string} name
 */
function measureAlone(name) {
  const items = values.items ?? "";
  /** @type {number[][]} */
  const rounds = [];
  let label = "";
  for (let i = 0; i < Number(values.rounds); i++) {
    const args = [
      "--expose-gc",
      fileURLToPath(import.meta.url),
      "--items",
      items,
      "--only",
      name,
      "--megabytes",
      "0.001",
    ];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    const line = stdout.split("\n").find((line) => line.includes(`${items} `)) ?? "";
    label = line.slice(0, 52);
    rounds.push(line.slice(52).trim().split(/\s+/).slice(0, 2).map(Number));
  }
  const figures = [0, 1].map((column) => {
    const sorted = rounds.map((round) => round[column] ?? Number.NaN).sort((one, other) => one - other);
    return `${sorted[Math.floor(sorted.length / 2)]} (${sorted.at(-1)})`.padStart(14);
  });
  console.log(`${label} ${figures.join(" ")}`);
}

/** Makes small arrays for 10 s, and keeps the last of them, a millisecond at a time beside threads that compute. */
async function makeArrays() {
  const spinning = Array.from(
    { length: availableParallelism() },
    () => new Worker("for (;;) Math.random();", { eval: true }),
  );
  /** @type {number[][]} */
  const kept = [];
  const end = performance.now() + 10_000;
  for (let i = 0; performance.now() < end; ) {
    const turn = performance.now() + 1;
    while (performance.now() < turn) {
      for (let k = 0; k < 100; k++) kept[i++ % items] = [i, k, 1, 2, 3, 4, 5, 6];
    }
    await new Promise(setImmediate);
  }
  await Promise.all(spinning.map((thread) => thread.terminate()));
}

console.log(`${"".padEnd(52)} ${["work", "pause", "whole"].map((head) => head.padStart(8)).join(" ")}  (ms)`);

if (values.only === "control: ") await report(`control: ${items} small arrays, without the library`, makeArrays);
{
  const vqa = await NeuronBlip.fromPretrained(model("checkpoint"));
  const image = await vqa.encodeImage(picture);
  await vqa.answer(image, "how many cats are in the picture?");
  for (const [kind, text] of Object.entries(texts)) {
    for (const truncation of [true, false]) {
      const how = truncation ? "truncated" : "not truncated";
      await report(`answer: ${kind}, ${how}`, () => vqa.answer(image, text, { truncation }));
    }
    await report(`rank, a candidate: ${kind}`, () => vqa.rank(image, "what is it?", ["cat", text]));
    await report(`stream: ${kind}`, async () => {
      for await (const _ of vqa.stream(image, text, { truncation: true }));
    });
  }
  const many = Array.from({ length: items }, (_, i) => `is this picture number ${i}?`);
  const bad = many.map(() => "");
  const candidates = many.map((_, i) => `${i}`);
  const paths = many.map((_, i) => `picture-${i}.jpg`);
  await report(`rank: ${items} candidates`, () => vqa.rank(image, "what is it?", candidates));
  await report(`answer: ${items} questions without words`, () => vqa.answer(image, bad, { settled: true }));
  await report(`answer: ${items} questions, aborted after 1 s`, () =>
    vqa.answer(image, many, { signal: AbortSignal.timeout(1000), truncation: true }),
  );
  await report(`answer: ${items} pairs that cannot be, settled`, () =>
    vqa.answer(paths, many, { truncation: true, settled: true, signal: AbortSignal.timeout(5000) }),
  );
  const twenty = Array.from({ length: 20 }, () => texts["combining marks"]);
  await report("answer: 20 calls at once of combining marks", () =>
    Promise.all(twenty.map((text) => vqa.answer(image, text, { truncation: true }).catch(() => {}))),
  );
  await vqa.dispose();
}
{
  const captioning = await NeuronBlip.fromPretrained(model("captions"));
  const image = await captioning.encodeImage(picture);
  await captioning.caption(image);
  for (const [kind, text] of Object.entries(texts)) {
    await report(`caption: ${kind}`, () => captioning.caption(image, { prompt: text }));
  }
  await captioning.dispose();
}
{
  const retrieving = await NeuronBlip.fromPretrained(model("retrieval"));
  const image = await retrieving.encodeImage(picture);
  await retrieving.match(image, "a cat");
  for (const [kind, text] of Object.entries(texts)) {
    for (const truncation of [true, false]) {
      const how = truncation ? "truncated" : "not truncated";
      await report(`match: ${kind}, ${how}`, () => retrieving.match(image, text, { truncation }));
    }
    await report(`similarity: ${kind}`, () => retrieving.similarity([image], [text], { truncation: true }));
  }
  const many = Array.from({ length: items }, (_, i) => `picture ${i}`);
  await report(`match: ${items} texts, aborted after 2 s`, () =>
    retrieving.match(image, many, { truncation: true, signal: AbortSignal.timeout(2000) }),
  );
  await report(`similarity: ${items} texts, aborted after 10 s`, () =>
    retrieving.similarity([image], many, { truncation: true, signal: AbortSignal.timeout(10_000) }),
  );
  await retrieving.dispose();
}
