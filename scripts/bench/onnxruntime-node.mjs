// onnxruntime-node in a process of its own, with the tutorial's three parts as ONNX, as its users write such a program: sharp for
// pictures, @huggingface/tokenizers for questions.
//   node onnxruntime-node.mjs THREADS JSON        JSON has the directories, as prepare.mjs makes them
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import sharp from "sharp";
import { serve, timed, timedAmongOthers } from "./serve.mjs";

/** @typedef {{data: Float32Array | BigInt64Array, dims: readonly number[]}} OrtTensor */
/** @typedef {{inputNames: string[], run(feeds: Record<string, OrtTensor>): Promise<{output: OrtTensor}>}} Session */
/**
 * @typedef {object} Ort what is used of onnxruntime-node, which is not among this project's packages
 * @property {new (type: "float32" | "int64", data: Float32Array | BigInt64Array, dims: readonly number[]) => OrtTensor} Tensor
 * @property {{create(path: string, options: object): Promise<Session>}} InferenceSession
 */

const QUESTION_LENGTH = 8;
const ANSWER_LENGTH = 20;

const [threads, json = "{}"] = process.argv.slice(2);
/** @type {import("./prepare.mjs").Prepared} */
const { onnxruntimeNode = "", onnx, source } = JSON.parse(json);
const requireThere = createRequire(join(onnxruntimeNode, "package.json"));
/** @type {Ort} */
const { InferenceSession, Tensor } = requireThere("onnxruntime-node");
/** @param {string} file */
const read = (file) => JSON.parse(readFileSync(join(source, file), "utf8"));
const { size, image_mean: means, image_std: deviations } = read("preprocessor_config.json");
const { bos_token_id: start, sep_token_id: end } = read("config.json").text_config;
const tokenizer = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
/** @param {string} name */
const session = (name) =>
  InferenceSession.create(join(onnx, `${name}.onnx`), {
    executionProviders: ["cpu"],
    intraOpNumThreads: Number(threads),
  });
const parts = {
  vision: await session("vision_model"),
  textEncoder: await session("text_encoder"),
  textDecoder: await session("text_decoder"),
};

/** @param {Session} part @param {readonly OrtTensor[]} inputs */
async function run(part, inputs) {
  const feeds = Object.fromEntries(part.inputNames.map((name, i) => [name, /** @type {OrtTensor} */ (inputs[i])]));
  return (await part.run(feeds)).output;
}

/** @param {BigInt64Array} values @param {readonly number[]} [dims] */
const int64 = (values, dims = [1, values.length]) => new Tensor("int64", values, dims);

/** A file -> float32 [1, 3, H, W] @param {string} picture */
async function preprocess(picture) {
  const { height, width } = size;
  const pixels = await sharp(picture)
    .toColourspace("srgb")
    .removeAlpha()
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
  const area = height * width;
  const values = new Float32Array(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    const [mean, deviation] = [means[channel], deviations[channel]];
    for (let i = 0; i < area; i++) {
      values[channel * area + i] = ((pixels[3 * i + channel] ?? 0) / 255 - mean) / deviation;
    }
  }
  return new Tensor("float32", values, [1, 3, height, width]);
}

/** -> ids and mask, int64 [1, 8] @param {string} question */
function tokenize(question) {
  const ids = tokenizer.encode(question).ids.slice(0, QUESTION_LENGTH).map(BigInt);
  const padding = new Array(QUESTION_LENGTH - ids.length).fill(0n);
  return {
    ids: int64(BigInt64Array.from([...ids, ...padding])),
    mask: int64(BigInt64Array.from([...ids.map(() => 1n), ...padding])),
  };
}

/** @param {{ids: OrtTensor, mask: OrtTensor}} question @param {OrtTensor} embeds of the picture @returns the text encoder's inputs */
function readingOf({ ids, mask }, embeds) {
  return [ids, mask, embeds, int64(new BigInt64Array(embeds.dims[1] ?? 0).fill(1n))];
}

/** The decoder's inputs for the first token. @param {OrtTensor} question embeds @param {OrtTensor} mask */
function firstStep(question, mask) {
  const [ids, ownMask] = [new BigInt64Array(ANSWER_LENGTH), new BigInt64Array(ANSWER_LENGTH)];
  ids[0] = BigInt(start);
  ownMask[0] = 1n;
  const position = BigInt64Array.of(0n);
  return { ids, ownMask, position, inputs: [int64(ids), question, mask, int64(ownMask), int64(position, [1])] };
}

/** @param {Float32Array} logits */
function argmax(logits) {
  let best = 0;
  for (let id = 1; id < logits.length; id++) {
    if (/** @type {number} */ (logits[id]) > /** @type {number} */ (logits[best])) best = id;
  }
  return best;
}

/** An answer of so many tokens. @param {string} picture @param {string} question @param {number} tokens */
async function answer(picture, question, tokens) {
  const asked = tokenize(question);
  const embeds = await run(parts.vision, [await preprocess(picture)]);
  const encoded = await run(parts.textEncoder, readingOf(asked, embeds));
  const { ids, ownMask, position, inputs } = firstStep(encoded, asked.mask);
  for (let step = 0; step < tokens; step++) {
    position[0] = BigInt(step);
    const logits = /** @type {Float32Array} */ ((await run(parts.textDecoder, inputs)).data);
    logits[end] = Number.NEGATIVE_INFINITY; // no end before the last token
    ids[step + 1] = BigInt(argmax(logits));
    ownMask[step + 1] = 1n;
  }
  return Array.from(ids.subarray(0, tokens + 1), Number);
}

/** What each stage does. @param {string} picture @param {string} question */
async function stagesOf(picture, question) {
  const pixels = await preprocess(picture);
  const asked = tokenize(question);
  const reading = readingOf(asked, await run(parts.vision, [pixels]));
  const { inputs } = firstStep(await run(parts.textEncoder, reading), asked.mask);
  return new Map([
    ["vision", () => run(parts.vision, [pixels])],
    ["text encoder", () => run(parts.textEncoder, reading)],
    ["decoder step", () => run(parts.textDecoder, inputs)],
  ]);
}

/** @type {ReturnType<typeof stagesOf> | undefined} */
let stages;

await serve(
  {
    "onnxruntime-node": requireThere("onnxruntime-node/package.json").version,
    sharp: sharp.versions.sharp ?? "unknown",
  },
  {
    /** Each picture with its question, one after another. */
    async whole({ pictures, questions, tokens }) {
      /** @type {number[][]} */
      const found = [];
      const ms = await timed(async () => {
        for (const [i, picture] of pictures.entries()) found.push(await answer(picture, questions[i], tokens));
      });
      return { ms, tokens: found };
    },

    async stage({ name, picture, question }) {
      stages ??= stagesOf(picture, question);
      const work = (await stages).get(name);
      if (work === undefined) throw new Error(`there is no stage "${name}"`);
      return { ms: await timedAmongOthers(work) };
    },

    async vision_batch({ size: count, picture }) {
      const { data, dims } = await preprocess(picture);
      const all = new Float32Array(count * data.length);
      for (let i = 0; i < count; i++) all.set(/** @type {Float32Array} */ (data), i * data.length);
      const pixels = new Tensor("float32", all, [count, ...dims.slice(1)]);
      return { ms: await timed(() => run(parts.vision, [pixels])) };
    },

    async preprocess({ picture }) {
      return { ms: await timed(() => preprocess(picture)) };
    },
  },
);
