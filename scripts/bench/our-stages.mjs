// Stages of ours by themselves, with inputs that are at hand.
import { BlipProcessor, Tensor, VisionModelWrapper } from "neuron-blip";
import { partOf } from "../../dist/blip/load-parts.js";
import { loadReplica, releaseReplica } from "../../dist/blip/load-replicas.js";

/** @typedef {import("../../dist/blip/load-replicas.js").LoadedReplica} LoadedReplica */
/** @typedef {import("../../dist/blip/loaded-parts.js").LoadedParts} LoadedParts */
/** @typedef {import("../../dist/blip/parts/checkpoint/checkpoint.js").LoadedCheckpoint} LoadedCheckpoint */
/** @typedef {Map<string, () => Promise<unknown>>} Work by the stage's name */

/** One model's stages. It is loaded when the first is run. */
export class Stages {
  #directory;
  #options;
  /** @type {Promise<{replica: LoadedReplica, processor: BlipProcessor}> | undefined} */
  #loaded;
  /** @type {Promise<Work> | undefined} */
  #work;

  /**
   * @param {string} directory of a checkpoint or of the tutorial's parts
   * @param {{threads: number, dtype?: "float32" | "bfloat16" | "int8"}} options
   */
  constructor(directory, options) {
    this.#directory = directory;
    this.#options = options;
  }

  /**
   * What one stage does, again with each call.
   * @param {string} name @param {string} picture @param {string} question of the first call, and of all after it
   */
  async of(name, picture, question) {
    this.#work ??= this.#prepare(picture, question);
    const work = (await this.#work).get(name);
    if (work === undefined) throw new Error(`there is no stage "${name}"`);
    return work;
  }

  /** The vision model on so many pictures at once. @param {string} picture @param {number} size */
  async vision(picture, size) {
    const { replica, processor } = await this.#load();
    const pixels = await processor.processImages(new Array(size).fill(picture));
    if (replica.kind === "checkpoint") return () => replica.visionModel.forward([pixels]);
    return () => partOf(replica, "vision_model").forward([pixels]);
  }

  async free() {
    if (this.#loaded !== undefined) await releaseReplica((await this.#loaded).replica);
  }

  #load() {
    const load = async () => {
      const [replica, processor] = await Promise.all([
        loadReplica(this.#directory, "BlipForQuestionAnswering", this.#options),
        BlipProcessor.fromPretrained(this.#directory),
      ]);
      return { replica, processor };
    };
    this.#loaded ??= load();
    return this.#loaded;
  }

  /** @param {string} picture @param {string} question */
  async #prepare(picture, question) {
    const { replica, processor } = await this.#load();
    const pixels = await processor.processImages([picture]);
    const { inputIds, attentionMask } = processor.processText([question]);
    const inputs = { pixels, ids: inputIds, mask: attentionMask, start: BigInt(replica.config.bosTokenId) };
    return replica.kind === "checkpoint" ? ofCheckpoint(replica, inputs) : ofTutorial(replica, inputs);
  }
}

/** @typedef {{pixels: Tensor, ids: Tensor<"int64">, mask: Tensor<"int64">, start: bigint}} Inputs start: the decoder's first token */

/**
 * Of the tutorial's three parts.
 * @param {LoadedParts} replica @param {Inputs} inputs
 * @returns {Promise<Work>}
 */
async function ofTutorial(replica, { pixels, ids, mask, start }) {
  const vision = partOf(replica, "vision_model");
  const encoder = partOf(replica, "text_encoder");
  const decoder = partOf(replica, "text_decoder");
  const { last_hidden_state: embeds } = /** @type {Record<string, Tensor>} */ (await vision.forward([pixels]));
  if (!embeds) throw new Error("the vision part gave no embeds");
  const tokens = embeds.shape[1] ?? 0;
  const reading = [ids, mask, embeds, Tensor.from(new BigInt64Array(tokens).fill(1n), [1, tokens])];
  const embedded = /** @type {Tensor} */ (await encoder.forward(reading));
  const length = replica.manifest?.answer_length ?? 0;
  const [answer, answerMask] = [new BigInt64Array(length), new BigInt64Array(length)];
  answer[0] = start;
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

/**
 * Of a checkpoint.
 * @param {LoadedCheckpoint} replica @param {Inputs} inputs
 * @returns {Promise<Work>}
 */
async function ofCheckpoint(replica, { pixels, ids, mask, start }) {
  const visionModel = new VisionModelWrapper(replica.visionModel, replica.shapes);
  const [encoder, decoder] = [replica.textEncoder(), replica.textDecoder()];
  const texts = { inputIds: ids, attentionMask: mask };
  const { lastHiddenState } = await visionModel.forward(pixels);
  const keysValues = await encoder.imageKeysValues(lastHiddenState);
  const encoderKeysValues = await decoder.encoderKeysValues(
    await encoder.forward(texts, [{ picture: lastHiddenState, count: 1 }]),
  );
  const row = Tensor.from(BigInt64Array.of(0n), [1]);
  const inputIds = Tensor.from(BigInt64Array.of(start), [1, 1]);
  const step = { inputIds, parents: row, encoderKeysValues, encoderRows: row, encoderAttentionMask: mask };
  const { presentKeysValues: pastKeysValues } = await decoder.forward({ ...step, pastKeysValues: decoder.emptyPast });
  /** @type {Work} */
  const work = new Map();
  work.set("vision", () => visionModel.forward(pixels));
  work.set("text encoder", () => encoder.forward(texts, [{ picture: lastHiddenState, count: 1 }]));
  work.set("a picture's keys and values", () => encoder.imageKeysValues(lastHiddenState));
  work.set("text encoder, picture known", () => encoder.forwardCached(texts, [{ picture: keysValues, count: 1 }]));
  work.set("decoder step", () => decoder.forward({ ...step, pastKeysValues }));
  return work;
}
