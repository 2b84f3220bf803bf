// Our side of the benchmark: a process that does one thing at a time, when it is told to, as peers.py does.
//   node ours.mjs DIR '{"threads": 2, "numModels": 1, "dtype": "bfloat16"}'      numModels 0: without the model, for stages alone
// DIR is a checkpoint's, or without a dtype the tutorial's parts.
import { existsSync, readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { BlipProcessor, NeuronBlip } from "neuron-blip";
import { Stages } from "./our-stages.mjs";
import { serve, timed, timedAmongOthers } from "./serve.mjs";

/** What the timer of monitorEventLoopDelay waits by itself, in ms. */
const RESOLUTION_MS = 1;

const [directory = "", json = "{}"] = process.argv.slice(2);
const { numModels = 1, ...options } = JSON.parse(json);
// Without the cache of pictures: every call shall look at its picture.
const model =
  numModels > 0
    ? await NeuronBlip.fromPretrained(directory, { ...options, numModels, pictureCache: false })
    : undefined;
const stages = new Stages(directory, options);

/** @param {number} tokens so many, whatever the model would rather end with */
const exactly = (tokens) => ({ minNewTokens: tokens, maxNewTokens: tokens });

/** @type {Promise<BlipProcessor> | undefined} */
let processor;

function theProcessor() {
  processor ??= BlipProcessor.fromPretrained(directory);
  return processor;
}

function theModel() {
  if (model === undefined) throw new Error("this process has no model");
  return model;
}

/**
 * Asks as often as there is time, several callers at once, each its next question when it has its answer.
 * @param {number} callers @param {number} seconds
 * @param {(call: number) => Promise<unknown>} ask
 */
async function load(callers, seconds, ask) {
  const start = performance.now();
  let [calls, answers] = [0, 0];
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() - start < seconds * 1000) {
        await ask(calls++);
        answers++;
      }
    }),
  );
  return { perSecond: (answers / (performance.now() - start)) * 1000, answers };
}

/** @type {Record<string, (task: import("./serve.mjs").Task) => Promise<object>>} */
const tasks = {
  /** Each picture with its question; one picture with many questions where it is one. */
  async whole({ pictures, questions, tokens }) {
    const one = new Set(pictures).size === 1;
    /** @type {readonly {tokenIds: readonly number[]}[]} */
    let found = [];
    const blip = theModel();
    const ms = await timed(async () => {
      /** @type {readonly string[]} */
      const asked = questions;
      found = await (one
        ? blip.answer(pictures[0], asked, exactly(tokens))
        : blip.answer(pictures, asked, exactly(tokens)));
    });
    return { ms, tokens: found.map(({ tokenIds }) => tokenIds) };
  },

  /** A question about a picture that was asked about before. */
  async next({ picture, warm, question, tokens }) {
    const blip = theModel();
    const encoded = await blip.encodeImage(picture);
    for (const text of warm) await blip.answer(encoded, text, exactly(tokens));
    const ms = await timed(() => blip.answer(encoded, question, exactly(tokens)));
    encoded.dispose();
    return { ms };
  },

  /** Several questions about a picture that was asked about before, in one call. */
  async next_batch({ picture, warm, questions, tokens }) {
    const blip = theModel();
    const encoded = await blip.encodeImage(picture);
    for (const text of warm) await blip.answer(encoded, text, exactly(tokens));
    const ms = await timed(() => blip.answer(encoded, questions, exactly(tokens)));
    encoded.dispose();
    return { ms };
  },

  async stage({ name, picture, question }) {
    const work = await stages.of(name, picture, question);
    return { ms: await timedAmongOthers(work) };
  },

  async vision_batch({ size, picture }) {
    return { ms: await timed(await stages.vision(picture, size)) };
  },

  async preprocess({ picture, decoder }) {
    const ours = await theProcessor();
    return { ms: await timed(() => ours.processImages([picture], { decoder })) };
  },

  /** Answers in a second; each picture was asked about before. */
  async callers_seen({ callers, seconds, pictures, questions, tokens }) {
    const blip = theModel();
    const encoded = await Promise.all(pictures.map((/** @type {string} */ picture) => blip.encodeImage(picture)));
    for (const picture of encoded) {
      for (const text of questions.slice(0, 2)) await blip.answer(picture, text, exactly(tokens));
    }
    const outcome = await load(callers, seconds, (call) =>
      blip.answer(encoded[call % encoded.length], questions[call % questions.length], exactly(tokens)),
    );
    for (const picture of encoded) picture.dispose();
    return outcome;
  },

  /** Answers in a second; a new picture with every call. */
  async callers_new({ callers, seconds, pictures, questions, tokens }) {
    const blip = theModel();
    return load(callers, seconds, (call) =>
      blip.answer(pictures[call % pictures.length], questions[call % questions.length], exactly(tokens)),
    );
  },

  /** How long the event loop waits while large pictures are asked about. */
  async delay({ callers, seconds, pictures, questions, tokens, decoder }) {
    const blip = theModel();
    process.env.NEURON_BLIP_DECODER = decoder;
    const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    delays.enable();
    const { answers } = await load(callers, seconds, (call) =>
      blip.answer(pictures[call % pictures.length], questions[call % questions.length], exactly(tokens)),
    );
    delays.disable();
    const beyond = (/** @type {number} */ ns) => Math.max(0, ns / 1e6 - RESOLUTION_MS);
    return { largest: beyond(delays.max), p99: beyond(delays.percentile(99)), answers };
  },

  async memory() {
    return { rss: process.memoryUsage.rss() };
  },
};

const root = new URL("../../", import.meta.url);
/** @param {string} file */
const versionIn = (file) => JSON.parse(readFileSync(new URL(file, root), "utf8")).version;
const sharp = "node_modules/sharp/package.json";
await serve(
  { "neuron-blip": versionIn("package.json"), sharp: existsSync(new URL(sharp, root)) ? versionIn(sharp) : "none" },
  tasks,
);
await stages.free();
await model?.dispose();
