// Our side of the benchmark: a process that does one thing at a time, when it is told to, as peers.py does.
//   node ours.mjs DIR '{"threads": 2, "numModels": 1}'      numModels 0: without the model, for stages alone
// Each line of the standard input is a task, {"do": NAME, ...}; each line of the output its outcome. The first says that all is loaded.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { BlipProcessor, Executor, NeuronBlip, Tensor, TorchModule } from "neuron-blip";

/** What the timer of monitorEventLoopDelay waits by itself, in ms. */
const RESOLUTION_MS = 1;

const [directory = "", json = "{}"] = process.argv.slice(2);
const { threads, numModels = 1 } = JSON.parse(json);
const begun = performance.now();
// Without the cache of pictures: every call shall look at its picture.
const model =
  numModels > 0 ? await NeuronBlip.fromPretrained(directory, { threads, numModels, pictureCache: false }) : undefined;
const manifest = JSON.parse(readFileSync(join(directory, "neuron_blip.json"), "utf8"));
const config = JSON.parse(readFileSync(join(directory, "config.json"), "utf8"));
const processor = await BlipProcessor.fromPretrained(directory);

/** @param {number} tokens so many, whatever the model would rather end with */
const exactly = (tokens) => ({ minNewTokens: tokens, maxNewTokens: tokens });

/** @param {() => unknown} work */
async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Parts by themselves, for the stages. */
class Stages {
  #executor = new Executor({ threads });
  /** @type {Map<string, TorchModule>} */
  #modules = new Map();
  /** @type {Map<string, () => Promise<unknown>>} */
  #ready = new Map();

  /** @param {string} file */
  async module(file) {
    const module =
      this.#modules.get(file) ?? (await TorchModule.load(join(directory, `${file}.pt`), { executor: this.#executor }));
    this.#modules.set(file, module);
    return module;
  }

  /** @param {string} name @param {string} picture @param {string} question */
  async run(name, picture, question) {
    if (this.#ready.size === 0) {
      this.#ready = manifest.cpu_parts ? await this.#fast(picture, question) : await this.#plain(picture, question);
    }
    const work = this.#ready.get(name);
    if (work === undefined) throw new Error(`there is no stage "${name}"`);
    return timed(work);
  }

  /** @param {string} question */
  #tokens(question) {
    const { inputIds, attentionMask } = processor.processText([question], {
      padding: "max_length",
      maxLength: manifest.question_length,
    });
    return { ids: inputIds, mask: attentionMask };
  }

  /** The tutorial's parts. @param {string} picture @param {string} question */
  async #plain(picture, question) {
    const { ids, mask } = this.#tokens(question);
    const pixels = await processor.processImages([picture]);
    const [vision, encoder, decoder] = await Promise.all(
      ["vision_model", "text_encoder", "text_decoder"].map((name) => this.module(name)),
    );
    if (!vision || !encoder || !decoder) throw new Error("a part is missing");
    const { last_hidden_state: embeds } = /** @type {Record<string, Tensor>} */ (await vision.forward([pixels]));
    if (!embeds) throw new Error("the vision part gave no embeds");
    const pictureMask = Tensor.from(new BigInt64Array(embeds.shape[1] ?? 0).fill(1n), [1, embeds.shape[1] ?? 0]);
    const reading = [ids, mask, embeds, pictureMask];
    const embedded = /** @type {Tensor} */ (await encoder.forward(reading));
    const length = manifest.answer_length;
    const answer = new BigInt64Array(length);
    answer[0] = BigInt(config.text_config.bos_token_id);
    const answerMask = new BigInt64Array(length);
    answerMask[0] = 1n;
    const step = [
      Tensor.from(answer, [1, length]),
      embedded,
      mask,
      Tensor.from(answerMask, [1, length]),
      Tensor.from(BigInt64Array.of(0n), [1]),
    ];
    return new Map([
      ["vision", () => vision.forward([pixels])],
      ["text encoder", () => encoder.forward(reading)],
      ["decoder step", () => decoder.forward(step)],
    ]);
  }

  /** The faster parts for the CPU. @param {string} picture @param {string} question */
  async #fast(picture, question) {
    const { ids, mask } = this.#tokens(question);
    const pixels = await processor.processImages([picture]);
    const [vision, encoder, decoder] = await Promise.all(
      ["vision_model_fused", "text_encoder_cached", "text_decoder_cached"].map((name) => this.module(name)),
    );
    if (!vision || !encoder || !decoder) throw new Error("a part is missing");
    const { last_hidden_state: embeds } = /** @type {Record<string, Tensor>} */ (await vision.forward([pixels]));
    if (!embeds) throw new Error("the vision part gave no embeds");
    const reading = [ids, mask, embeds];
    const keysValues = /** @type {Tensor} */ (await encoder.call("image_keys_values", [embeds]));
    const embedded = /** @type {Tensor} */ (await encoder.forward(reading));
    const cross = /** @type {Tensor} */ (await decoder.call("encoder_keys_values", [embedded]));
    const [layers = 0, , , heads = 0, , width = 0] = cross.shape;
    const token = Tensor.from(BigInt64Array.of(BigInt(config.text_config.bos_token_id)), [1, 1]);
    const row = Tensor.from(BigInt64Array.of(0n), [1]);
    const nothing = Tensor.zeros(cross.dtype, [layers, 2, 1, heads, 0, width]);
    const [, past] = /** @type {Tensor[]} */ (await decoder.forward([token, nothing, row, cross, row, mask]));
    if (!past) throw new Error("the decoder gave no keys and values");
    return new Map([
      ["vision", () => vision.forward([pixels])],
      ["text encoder", () => encoder.forward(reading)],
      ["a picture's keys and values", () => encoder.call("image_keys_values", [embeds])],
      ["text encoder, picture known", () => encoder.call("forward_cached", [ids, mask, keysValues])],
      ["decoder step", () => decoder.forward([token, past, row, cross, row, mask])],
    ]);
  }

  async free() {
    this.#ready.clear();
    await Promise.all([...this.#modules.values()].map((module) => module.dispose()));
    this.#modules.clear();
  }
}

const stages = new Stages();

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

/** @typedef {Record<string, any>} Task */

/** @type {Record<string, (task: Task) => Promise<object>>} */
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
    return { ms: await stages.run(name, picture, question) };
  },

  async vision_batch({ size, picture }) {
    const vision = await stages.module(manifest.cpu_parts ? "vision_model_fused" : "vision_model");
    const pixels = await processor.processImages(new Array(size).fill(picture));
    return { ms: await timed(() => vision.forward([pixels])) };
  },

  async preprocess({ picture, decoder }) {
    return { ms: await timed(() => processor.processImages([picture], { decoder })) };
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

/** @param {object} outcome */
const tell = (outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`);

const root = new URL("../../", import.meta.url);
const sharp = new URL("node_modules/sharp/package.json", root);
tell({
  ms: performance.now() - begun,
  versions: {
    node: process.versions.node,
    "neuron-blip": JSON.parse(readFileSync(new URL("package.json", root), "utf8")).version,
    sharp: existsSync(sharp) ? JSON.parse(readFileSync(sharp, "utf8")).version : "none",
  },
});
for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...task } = JSON.parse(line);
  try {
    const work = tasks[name];
    if (work === undefined) throw new Error(`there is no task "${name}"`);
    tell(await work(task));
  } catch (error) {
    tell({ error: error instanceof Error ? error.message : String(error) });
  }
}
await stages.free();
await model?.dispose();
