// Compares one checkpoint, which this package and transformers have both loaded, on given pictures and texts.
import { readFileSync } from "node:fs";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { Refused } from "./oracle.mjs";
import { Tally } from "./tally.mjs";

/** @typedef {import("neuron-blip").GeneratedSequence} GeneratedSequence */
/** @typedef {import("neuron-blip").GenerationConfig} GenerationConfig */
/** @typedef {import("neuron-blip").Tensor} Tensor */
/** @typedef {{image: string, text: string | null}} Row a picture's path, and a question or prompt */

/** The most tokens of a sequence that draws are made for. */
const MOST_DRAWS = 32;

/**
 * transformers' names of settings as this package's.
 * @param {Record<string, unknown>} settings
 * @returns {GenerationConfig}
 */
function optionsOf(settings) {
  const camelCase = (/** @type {string} */ name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [camelCase(name), value]));
}

/**
 * The numbers that this package draws the tokens of each sequence by: see lib/generation/search.ts.
 * @param {number} seed
 * @param {number} sequences
 */
function drawsOf(seed, sequences) {
  const random = xoroshiro128plus(seed);
  return Array.from({ length: sequences }, () => {
    random.jump();
    const stream = random.clone();
    return Array.from({ length: MOST_DRAWS }, () => uniformFloat64(stream));
  });
}

/**
 * The tokens that one of two has ruled out and the other not.
 * @param {Float32Array} own
 * @param {Float32Array} expected
 */
function filteredOtherwise(own, expected) {
  const others = [];
  for (const [token, score] of expected.entries()) {
    if ((score === Number.NEGATIVE_INFINITY) !== (own[token] === Number.NEGATIVE_INFINITY)) others.push(token);
  }
  return others;
}

/** One loaded checkpoint. */
export class ComparedModel {
  tally = new Tally();
  /** The greedy sequences of transformers, by "picture|text". @type {Map<string, string>} */
  greedy = new Map();
  #model;
  #processor;
  #oracle;
  #scratch;

  /**
   * @param {any} model one of this package's three classes
   * @param {import("neuron-blip").BlipProcessor} processor
   * @param {import("./oracle.mjs").Oracle} oracle with the same checkpoint
   * @param {string} scratch a file for numbers
   */
  constructor(model, processor, oracle, scratch) {
    this.#model = model;
    this.#processor = processor;
    this.#oracle = oracle;
    this.#scratch = scratch;
  }

  /** What both see in pictures. @param {readonly string[]} images */
  async embeds(images) {
    const shapes = await this.#oracle.ask("embed", { images, file: this.#scratch });
    const expected = this.#numbers();
    let at = 0;
    for (const [i, image] of images.entries()) {
      const [own] = await this.#embedsOf([image]);
      const { data, shape } = /** @type {Tensor} */ (own);
      if (shape.join() !== shapes[i].join()) this.tally.mismatches.push(`${image}: embeds are [${shape}]`);
      this.tally.addLogits(
        /** @type {Float32Array} */ (data),
        expected.subarray(at, at + data.length),
        `sees ${image}`,
      );
      at += data.length;
    }
  }

  /**
   * Generates for rows, and compares scores of all steps, tokens and scores of sequences.
   * @param {readonly Row[]} rows
   * @param {Record<string, unknown>} settings by transformers' names
   * @param {{together?: boolean, seed?: number}} [how] together: padded to the longest; seed: to sample by
   */
  async generate(rows, settings, { together = false, seed } = {}) {
    const { num_beams: beams = 1, num_return_sequences: count = 1 } = settings;
    const images = rows.map(({ image }) => image);
    const texts = rows.map(({ text }) => text);
    const keepsScores = beams === 1;
    let expected;
    try {
      expected = await this.#oracle.ask("generate", {
        images,
        texts,
        settings,
        together,
        ...(seed !== undefined && { uniforms: drawsOf(seed, rows.length * Number(count)) }),
        ...(keepsScores && { scores: this.#scratch }),
      });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.tally.leftOut++;
      return;
    }
    if (!expected.scored) {
      this.tally.leftOut++;
      return;
    }
    const options = {
      ...optionsOf(settings),
      ...(keepsScores && { outputScores: true }),
      ...(seed !== undefined && { doSample: true, seed }),
      ...(together && this.#model.textEncoder && { questionMask: /** @type {const} */ ("ones") }),
    };
    const inputs = {
      imageEmbeds: await this.#embedsOf(images),
      ...(texts[0] !== null && this.#processor.processText(/** @type {string[]} */ (texts))),
    };
    /** @type {GeneratedSequence[]} */
    const own = await this.#model.generate(inputs, options);
    const told = `${JSON.stringify(settings)}${seed === undefined ? "" : `, seed ${seed}`}${together ? ", padded" : ""}`;
    this.tally.rows += rows.length;
    if (own.length !== expected.sequences.length) {
      this.tally.mismatches.push(`${told}: ${own.length} sequences, not ${expected.sequences.length}`);
      return;
    }
    const scores = keepsScores ? this.#numbers() : undefined;
    let at = 0;
    for (const [i, sequence] of own.entries()) {
      const where = `${told}, sequence ${i}`;
      /** @type {{tokens: number[], transitions: number[], score: number | undefined}} */
      const theirs = {
        tokens: expected.sequences[i],
        transitions: expected.transition_scores[i],
        score: expected.sequences_scores?.[i],
      };
      if (keepsScores && beams === 1 && seed === undefined && Object.keys(settings).length === 1) {
        const { image, text } = /** @type {Row} */ (rows[i]);
        if (!together) this.greedy.set(`${image}|${text}`, theirs.tokens.join(" "));
      }
      const vocabulary = sequence.scores?.[0]?.length ?? 0;
      const ownScores = scores?.subarray(at, at + theirs.transitions.length * vocabulary);
      at += theirs.transitions.length * vocabulary;
      if (await this.#compareSteps(i, sequence, theirs, ownScores, where)) {
        await this.#compareTokens(i, sequence, theirs, where);
      }
    }
  }

  /**
   * @param {Row} row
   * @param {readonly string[]} candidates
   * @param {number} k
   * @param {number} labelSmoothing
   */
  async rank({ image, text }, candidates, k, labelSmoothing) {
    const asked = { image, text, candidates, k, label_smoothing: labelSmoothing };
    const { candidate_ids, kept, losses, order, probabilities, first_token_probs } = await this.#oracle.ask(
      "rank",
      asked,
    );
    const inputs = { imageEmbeds: await this.#embedsOf([image]), ...this.#processor.processText([text ?? ""]) };
    const ranked = await this.#model.rank(inputs, candidate_ids, { k, labelSmoothing });
    const where = `rank with k ${k} and label smoothing ${labelSmoothing}`;
    this.tally.rows++;
    const lossOf = (/** @type {number} */ index) => losses[kept.indexOf(index)];
    for (const [i, index] of order.entries()) {
      const { index: own, probability, logLikelihood } = ranked[i];
      this.tally.tokens += candidate_ids[index].length - 1;
      if (own !== index) {
        const gap = kept.includes(own) ? lossOf(own) - lossOf(index) : Number.POSITIVE_INFINITY;
        this.tally.addDifference(gap, `${where}: candidate ${own} at place ${i}, not ${index}`);
        continue;
      }
      this.tally.addScore(probability, probabilities[i], where);
      this.tally.addScore(logLikelihood, -lossOf(index), where);
    }
    for (const { index, firstTokenProbability } of ranked) {
      this.tally.addScore(firstTokenProbability, first_token_probs[index], where);
    }
  }

  /** Logits of the matching head, and cosines. @param {readonly Row[]} rows @returns {Promise<number[]>} the cosines */
  async match(rows) {
    const images = rows.map(({ image }) => image);
    const texts = rows.map(({ text }) => text ?? "");
    const { logits, cosines } = await this.#oracle.ask("match", { images, texts });
    const imageEmbeds = await this.#embedsOf(images);
    const inputs = this.#processor.processText(texts);
    const own = await this.#model.matchLogits({ imageEmbeds, ...inputs });
    const pictures = await this.#model.getImageFeatures(imageEmbeds);
    const read = await this.#model.getTextFeatures(inputs);
    for (const [i, row] of rows.entries()) {
      const where = `match of ${row.image} and "${row.text}"`;
      this.tally.rows++;
      this.tally.addLogits(own[i].data, Float32Array.from(logits[i]), where);
      let cosine = 0;
      for (const [k, value] of pictures[i].data.entries()) cosine += value * read[i].data[k];
      this.tally.addScore(cosine, cosines[i], where);
    }
    return cosines;
  }

  /**
   * @param {number} index of the sequence
   * @param {GeneratedSequence} own
   * @param {{tokens: number[], transitions: number[]}} theirs
   * @param {Float32Array | undefined} scores of transformers' steps
   * @param {string} where
   * @returns {Promise<boolean>} whether the tokens can be compared: false after an excused difference of filters
   */
  async #compareSteps(index, own, theirs, scores, where) {
    const steps = theirs.transitions.length;
    const prompt = theirs.tokens.length - steps;
    for (let step = 0; scores !== undefined && step < steps; step++) {
      const same = own.tokenIds.slice(0, prompt + step).join() === theirs.tokens.slice(0, prompt + step).join();
      const found = own.scores?.[step];
      if (!same || found === undefined) break;
      const expected = scores.subarray(step * found.length, (step + 1) * found.length);
      const others = filteredOtherwise(found, expected);
      if (others.length > 0 && (await this.#oracle.ask("refilter", { sequence: index, step, others }))) {
        this.tally.excused++;
        return false;
      }
      this.tally.addLogits(found, expected, `${where}, step ${step}`);
    }
    return true;
  }

  /**
   * @param {number} index of the sequence
   * @param {GeneratedSequence} own
   * @param {{tokens: number[], transitions: number[], score: number | undefined}} theirs
   * @param {string} where
   */
  async #compareTokens(index, own, theirs, where) {
    this.tally.tokens += own.tokenLogProbabilities.length;
    if (own.tokenIds.join() !== theirs.tokens.join()) {
      const gap = await this.#oracle.ask("judge", { sequence: index, own: own.tokenIds, theirs: theirs.tokens });
      this.tally.addDifference(gap, `${where}: ${own.tokenIds.join(" ")}, not ${theirs.tokens.join(" ")}`);
      return;
    }
    for (const [step, score] of theirs.transitions.entries()) {
      this.tally.addScore(own.tokenLogProbabilities[step] ?? Number.NaN, score, `${where}, step ${step}`);
    }
    if (theirs.score !== undefined) this.tally.addScore(own.sequenceScore, theirs.score, where);
  }

  /** @type {Map<string, Tensor>} */
  #seen = new Map();

  /** One [1, S, D] for each picture. @param {readonly string[]} images @returns {Promise<Tensor[]>} */
  async #embedsOf(images) {
    const found = [];
    for (const image of images) {
      const known = this.#seen.get(image);
      if (known !== undefined) {
        found.push(known);
        continue;
      }
      const [embeds] = await this.#model.encodeImages(await this.#processor.processImages(image));
      this.#seen.set(image, embeds);
      found.push(embeds);
    }
    return found;
  }

  #numbers() {
    const bytes = readFileSync(this.#scratch);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  }
}
