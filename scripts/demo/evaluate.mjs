// Answers the questions of a directory of scenes through this package, and says how many answers are right and, with
// --compare, how many are transformers' own:
//
//   python scripts/demo/scenes.py SCENES --count 300 --seed 7
//   node scripts/demo/evaluate.mjs SCENES [--model demo/model] [--dtype float32] [--compare ANSWERS.json]
//
// ANSWERS.json is what evaluate.py wrote. Exit code 1 below --least (95 %) or where an answer differs from transformers'.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { NeuronBlip } from "neuron-blip";

/** @typedef {{picture: string, kind?: string, question: string, answer: string}} Asked */
/** @typedef {Asked & {given: string, ids: number[]}} Compared */

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "demo/model" },
    dtype: { type: "string", default: "float32" },
    compare: { type: "string" },
    least: { type: "string", default: "95" },
  },
});
const [scenes] = positionals;
if (scenes === undefined || positionals.length !== 1) {
  console.error(
    "usage: node scripts/demo/evaluate.mjs SCENES [--model DIR] [--dtype float32|bfloat16|int8] [--compare ANSWERS.json] [--least PERCENT]",
  );
  process.exit(2);
}

/** @type {Asked[]} */
const records = JSON.parse(readFileSync(join(scenes, "questions.json"), "utf8"));
/** @type {Map<string, Asked[]>} */
const byPicture = new Map();
for (const record of records) byPicture.set(record.picture, [...(byPicture.get(record.picture) ?? []), record]);

/**
 * Keys an answer by what was asked.
 * @param {Asked} asked
 */
const keyOf = ({ picture, question }) => `${picture}\n${question}`;

const dtype = /** @type {import("neuron-blip").CheckpointDtype} */ (options.dtype); // which loading checks
const blip = await NeuronBlip.fromPretrained(options.model, { dtype });
/** @type {Map<string, import("neuron-blip").Answer>} */
const answers = new Map();
const begun = performance.now();
for (const [picture, asked] of byPicture) {
  const questions = asked.map(({ question }) => question);
  const given = await blip.answer(join(scenes, picture), questions);
  for (const [i, answer] of given.entries()) answers.set(keyOf(/** @type {Asked} */ (asked[i])), answer);
}
const seconds = (performance.now() - begun) / 1000;
await blip.dispose();

/**
 * Counts records and those that pass, in all and by kind.
 * @template {Asked} T
 * @param {T[]} list
 * @param {(record: T) => boolean} passes
 */
function tally(list, passes) {
  /** @type {Map<string, {passed: number, all: number}>} */
  const counts = new Map();
  for (const record of list) {
    for (const kind of ["all", record.kind ?? "other"]) {
      const count = counts.get(kind) ?? { passed: 0, all: 0 };
      counts.set(kind, { passed: count.passed + Number(passes(record)), all: count.all + 1 });
    }
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

const share = (/** @type {{passed: number, all: number}} */ { passed, all }) => (100 * passed) / Math.max(1, all);
let failed = false;
for (const [kind, count] of tally(records, (record) => answers.get(keyOf(record))?.answer === record.answer)) {
  console.log(`${kind.padEnd(12)} ${count.passed} of ${count.all} right, ${share(count).toFixed(2)} %`);
  if (kind === "all" && !(share(count) >= Number(options.least))) failed = true;
}
console.log(`${((1000 * seconds) / records.length).toFixed(1)} ms a question, ${byPicture.size} pictures`);

if (options.compare !== undefined) {
  /** @type {Compared[]} */
  const compared = JSON.parse(readFileSync(options.compare, "utf8"));
  const same = compared.filter((record) => {
    const ours = answers.get(keyOf(record));
    return ours?.answer === record.given && ours.tokenIds.join() === record.ids.join();
  });
  console.log(`the same tokens and text as transformers: ${same.length} of ${compared.length}`);
  const tokens = compared.flatMap((record) => {
    const ours = answers.get(keyOf(record))?.tokenIds ?? [];
    return record.ids.map((id, i) => Number(ours[i] === id));
  });
  console.log(`the same tokens: ${tokens.filter(Boolean).length} of ${tokens.length}`);
  if (same.length !== compared.length || compared.length !== records.length) failed = true;
}
process.exitCode = failed ? 1 : 0;
