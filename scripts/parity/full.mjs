// Compares random checkpoints with transformers, live: the published models' full size, and small ones in many forms.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  BlipProcessor,
  NeuronBlipForConditionalGeneration,
  NeuronBlipForImageTextRetrieval,
  NeuronBlipForQuestionAnswering,
} from "neuron-blip";
import { SetupError } from "../addon/host.mjs";
import { ComparedModel } from "./compare.mjs";
import { FULL_SIZE, SMALL, SMOKE } from "./models.mjs";
import { Oracle, Refused } from "./oracle.mjs";
import { Tally } from "./tally.mjs";

/** @typedef {import("./models.mjs").Model} Model */
/** @typedef {import("./compare.mjs").Row} Row */

const PICTURES = ["astronaut", "chelsea", "coffee"].map((name) =>
  fileURLToPath(new URL(`../../test/fixtures/pictures/${name}.png`, import.meta.url)),
);
const QUESTIONS = [
  "how many dogs are in the picture?",
  "dog?",
  "what color is the big round thing on the left of the small red car?",
  "is there a woman and a boat near the river, or not, in the photo?",
];
const PROMPTS = [null, "a", "a picture of", "the woman is in the"];
const CANDIDATES = ["yes", "no", "red", "red car", "red car on road", "black", "black dog", "yes", "a woman in a boat"];
const SAMPLING = [
  { max_new_tokens: 12 },
  { temperature: 0.7, top_p: 0.9, max_new_tokens: 10 },
  { top_k: 0, min_p: 0.02, max_new_tokens: 10 },
  { top_k: 0, typical_p: 0.8, num_return_sequences: 2, max_new_tokens: 8 },
  { top_k: 5, temperature: 1.5, repetition_penalty: 1.2, max_new_tokens: 10 },
];
/** Of small models; of each as many runs as there are here, or more. */
const DRAWN_RUNS = 32;
/** How many seeds are tried for a small model. */
const MOST_SEEDS = 8;
const BATCHES = [1, 3, 8];

const CLASSES = {
  question_answering: NeuronBlipForQuestionAnswering,
  captioning: NeuronBlipForConditionalGeneration,
  retrieval: NeuronBlipForImageTextRetrieval,
};

/**
 * Compares all, or those that are named, and prints a line for each and for their sum.
 * @param {string} python with transformers
 * @param {{names?: readonly string[], smoke?: boolean}} options smoke: two rows of one full-size model, and no more
 * @returns {Promise<number>} an exit code
 */
export async function compareWithTransformers(python, { names = [], smoke = false }) {
  const all = [...FULL_SIZE, ...SMALL];
  for (const name of names) {
    if (all.some((model) => model.name === name)) continue;
    throw new SetupError(`There is no model "${name}". There are ${all.map((model) => model.name).join(", ")}.`);
  }
  const wanted = smoke ? [SMOKE] : names;
  const scratch = mkdtempSync(join(tmpdir(), "neuron-blip-parity-"));
  const oracle = new Oracle(python);
  const [full, total] = [new Tally(), new Tally()];
  const started = performance.now();
  try {
    for (const model of all.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
      const tally = await compareOne(oracle, model, scratch, smoke);
      total.add(tally);
      if (FULL_SIZE.includes(model)) full.add(tally);
    }
  } finally {
    await oracle.close();
    rmSync(scratch, { recursive: true, force: true });
  }
  for (const line of total.mismatches.slice(0, 20)) console.log(`  ${line.slice(0, 600)}`);
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log(`against transformers: ${total.line}; of them ${full.rows} rows of full size; ${seconds} s`);
  return total.mismatches.length > 0 || total.rows === 0 ? 1 : 0;
}

/**
 * @param {Oracle} oracle
 * @param {Model} model
 * @param {string} scratch
 * @param {boolean} smoke
 */
async function compareOne(oracle, { name, size, ...form }, scratch, smoke) {
  const isFullSize = FULL_SIZE.some((model) => model.name === name);
  const threads = isFullSize ? 2 : 1;
  const directory = join(scratch, name);
  mkdirSync(directory);
  const started = performance.now();
  const passed = () => `${Math.round((performance.now() - started) / 1000)} s`;
  /** @type {{dispose(): Promise<void>} | undefined} */
  let model;
  try {
    console.log(`${name}: ${await make(oracle, { changes: {}, ...form, directory, threads })}; ${passed()}`);
    await oracle.ask("load", { directory, ...(size && { size }) });
    const pictureSize = size && { height: size[0], width: size[1] };
    const options = { threads, ...(pictureSize && { interpolatePosEncoding: true, size: pictureSize }) };
    const loaded = await CLASSES[form.head].fromPretrained(directory, options);
    model = loaded;
    const processor = await BlipProcessor.fromPretrained(directory, pictureSize ? { size: pictureSize } : {});
    const compared = new ComparedModel(loaded, processor, oracle, join(scratch, "numbers"));
    if (form.head === "retrieval") await compareMatches(compared);
    else if (smoke) await compared.generate(rowsOf(form.head, [PICTURES[1]], 2), { max_new_tokens: 12 });
    else await compareTexts(compared, form, isFullSize, oracle);
    console.log(`${name}: ${compared.tally.line}; ${passed()}`);
    return compared.tally;
  } finally {
    await model?.dispose();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Makes a checkpoint; with some seeds a random model says too much alike, and the next one is taken.
 * @param {Oracle} oracle
 * @param {{seed: number} & Record<string, unknown>} form
 * @returns {Promise<string>} how its outputs vary
 */
async function make(oracle, form) {
  for (let tried = 1; ; tried++) {
    try {
      return await oracle.ask("make", { ...form, seed: form.seed + 1000 * (tried - 1) });
    } catch (error) {
      if (!(error instanceof Refused) || tried === MOST_SEEDS) throw error;
    }
  }
}

/**
 * Each picture with each text; without prompts all of a call have none.
 * @param {Model["head"]} head
 * @param {readonly (string | undefined)[]} pictures
 * @param {number} [count] of texts
 * @returns {Row[]}
 */
function rowsOf(head, pictures, count) {
  const texts = head === "captioning" ? PROMPTS.slice(1) : QUESTIONS;
  return pictures.flatMap((image) => texts.slice(0, count).map((text) => ({ image: image ?? "", text })));
}

/**
 * Answers or captions.
 * @param {ComparedModel} compared
 * @param {Pick<Model, "head" | "seed">} model
 * @param {boolean} isFullSize
 * @param {Oracle} oracle
 */
async function compareTexts(compared, { head, seed }, isFullSize, oracle) {
  const pictures = isFullSize ? PICTURES.slice(0, 2) : PICTURES;
  const asks = head === "question_answering";
  const rows = rowsOf(head, pictures, isFullSize ? 2 : undefined);
  const bare = pictures.map((image) => ({ image, text: null }));
  await compared.embeds(pictures);
  await compared.generate(rows, { max_new_tokens: isFullSize ? 12 : 19 });
  checkThatTheyVary(compared.greedy, pictures);
  if (!asks) await compared.generate(bare, { max_new_tokens: 12 });
  if (isFullSize) {
    const beams = { num_beams: 3, max_length: 10, min_length: asks ? 1 : 6 };
    if (asks) await compared.generate(rows.slice(0, 3), { max_new_tokens: 8 }, { together: true });
    await compared.generate(rows.slice(0, 3), beams);
    if (!asks) await compared.generate(bare, { num_beams: 4, max_length: 12, repetition_penalty: 1.3 });
    for (const [i, settings] of SAMPLING.slice(0, 2).entries()) {
      await compared.generate(rows.slice(i, i + 2), settings, { seed: seed + i });
    }
  } else {
    await compareDrawnSettings(compared, { head, seed, rows, bare }, oracle);
  }
  if (!asks) return;
  const cases = isFullSize ? rows.slice(0, 1) : rows.filter((_, i) => i % 2 === 0);
  for (const [i, row] of cases.entries()) await compared.rank(row, CANDIDATES, i % 2 === 0 ? 128 : 4, 0.1 * (i % 2));
}

/**
 * Settings of a grid with 1, 3 and 8 rows, padded and not; then draws.
 * @param {ComparedModel} compared
 * @param {{head: Model["head"], seed: number, rows: Row[], bare: Row[]}} model
 * @param {Oracle} oracle
 */
async function compareDrawnSettings(compared, { head, seed, rows, bare }, oracle) {
  const asks = head === "question_answering";
  const said = { images: rows.map(({ image }) => image), texts: rows.map(({ text }) => text), seed };
  for (let run = 0; run < DRAWN_RUNS; run++) {
    const { settings } = await oracle.ask("draw", said);
    const among = !asks && run % 4 === 3 ? bare : rows;
    const count = BATCHES[run % BATCHES.length] ?? 1;
    const asked = Array.from({ length: count }, (_, i) => /** @type {Row} */ (among[(5 * run + i) % among.length]));
    await compared.generate(asked, settings, { together: asks && run % 2 === 0 });
  }
  for (const [i, settings] of SAMPLING.entries()) {
    await compared.generate(rows.slice(0, 8), settings, { seed: 100 * seed + i });
    await compared.generate((asks ? rows : bare).slice(0, 3), settings, { seed: i, together: asks });
  }
}

/** @param {ComparedModel} compared */
async function compareMatches(compared) {
  await compared.embeds(PICTURES);
  const texts = [...QUESTIONS, "a cat", "a cup of coffee on a table", "no"];
  const cosines = await compared.match(PICTURES.flatMap((image) => texts.map((text) => ({ image, text }))));
  for (const which of [0, 1]) {
    // By picture: those of one text; by text: those of one picture.
    const of = which === 0 ? PICTURES.map((_, i) => cosines[i * texts.length]) : cosines.slice(0, texts.length);
    const range = Math.max(.../** @type {number[]} */ (of)) - Math.min(.../** @type {number[]} */ (of));
    if (!(range > 0.01))
      throw new SetupError(`The model's cosines vary by ${range} only: it cannot tell right from wrong.`);
  }
}

/**
 * A model that says the same of all pictures, or of all texts, cannot tell right from wrong.
 * @param {ReadonlyMap<string, string>} greedy sequences by "picture|text"
 * @param {readonly string[]} pictures
 */
function checkThatTheyVary(greedy, pictures) {
  const texts = new Set([...greedy.keys()].map((key) => key.slice(key.indexOf("|"))));
  const byPicture = [...texts].map((text) => new Set(pictures.map((picture) => greedy.get(`${picture}${text}`))).size);
  const byText = pictures.map((picture) => new Set([...texts].map((text) => greedy.get(`${picture}${text}`))).size);
  if (texts.size > 1 && Math.max(...byPicture) > 1 && Math.max(...byText) > 1) return;
  throw new SetupError(
    `The model's greedy sequences hardly vary (${byPicture} of ${pictures.length} pictures, ${byText} of ${texts.size} texts): ` +
      "it cannot tell right from wrong. Take another seed.",
  );
}
