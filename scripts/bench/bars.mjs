// The bars that the project sets itself, as ratios to others in the same run.
import { NAMES } from "./competitors.mjs";
import { spread } from "./rounds.mjs";
import { NUMBER_TYPES, newTask, seenTask, TASKS } from "./sections.mjs";

/** @typedef {import("./rounds.mjs").Result} Result */

/**
 * @typedef {object} Bar
 * @property {string} what
 * @property {"<=" | ">="} sign
 * @property {number} bar
 * @property {string} unit empty for ratios
 * @property {number} value the median of the rounds
 * @property {number} low @property {number} high quartiles
 * @property {boolean} met
 */

/** @typedef {[what: string, sign: "<=" | ">=", bar: number, unit: string, values: number[]]} Row */

/** What a decoder step in int8 may take: this, or so many times what its linears take by themselves, whichever is longer. */
const STEP_MS = 14;
const STEP_LINEARS = 1.4;

/**
 * The bars that the results tell about, the others left out: those of every CPU, and those of CPUs with bfloat16 or without.
 * @param {readonly Result[]} results
 * @param {{weightsBytes: number, hasBfloat16: boolean, agreement: import("./report.mjs").Agreement}} about
 * @returns {Bar[]}
 */
export function barsOf(results, { weightsBytes, hasBfloat16, agreement }) {
  /** @param {string} task @param {string} competitor */
  const samples = (task, competitor) =>
    results.find((result) => result.task === task && result.competitor === competitor)?.samples;
  /**
   * Round by round: what the machine did otherwise fell on both.
   * @param {readonly [string, string]} one task and competitor
   * @param {readonly [string, string]} other
   */
  const ratios = (one, other) => {
    const [ones, others] = [samples(...one), samples(...other)];
    return ones && others ? ones.map((value, i) => value / (others[i] ?? Number.NaN)) : [];
  };
  const { tutorial, onnx, onnxInt8, oursTutorial, oursFp32, oursBf16, oursInt8 } = NAMES;
  /** @param {string} task @param {string} name */
  const ofTutorial = (task, name) => ratios([task, name], [task, tutorial]);

  /** @type {Row[]} */
  const withBfloat16 = [
    ["one picture, one question, fp32", "<=", 0.65, "", ofTutorial(TASKS.whole, oursFp32)],
    ["the same, bf16", "<=", 0.36, "", ofTutorial(TASKS.whole, oursBf16)],
    ["next question on the same picture, bf16", "<=", 0.06, "", ofTutorial(TASKS.next, oursBf16)],
    [
      "8 questions on one new picture, bf16, against 8 tutorial answers",
      "<=",
      0.055,
      "",
      ofTutorial(TASKS.questions, oursBf16),
    ],
    ["vision part, fp32, against ONNX Runtime", "<=", 1.06, "", ratios([TASKS.vision, oursFp32], [TASKS.vision, onnx])],
    [
      "from the start of the process to the first answer, fp32, against the tutorial in Python",
      "<=",
      0.4,
      "",
      ofTutorial(TASKS.start, oursFp32),
    ],
    [
      "8 concurrent callers against 1, two pictures seen before, bf16",
      ">=",
      3,
      "",
      ratios([seenTask(8), oursBf16], [seenTask(1), oursBf16]),
    ],
    [
      "8 concurrent callers against 1, a new picture with every call, bf16",
      ">=",
      1.1,
      "",
      ratios([newTask(8), oursBf16], [newTask(1), oursBf16]),
    ],
  ];
  /** @type {Row[]} */
  const withoutBfloat16 = [
    ["one picture, one question, fp32", "<=", 0.68, "", ofTutorial(TASKS.whole, oursFp32)],
    ["the same, int8", "<=", 0.38, "", ofTutorial(TASKS.whole, oursInt8)],
    ["next question on the same picture, int8", "<=", 0.028, "", ofTutorial(TASKS.next, oursInt8)],
    [
      "8 questions on one new picture, int8, against 8 tutorial answers",
      "<=",
      0.06,
      "",
      ofTutorial(TASKS.questions, oursInt8),
    ],
    ["8 pictures, one question each, int8", "<=", 0.38, "", ofTutorial(TASKS.pictures, oursInt8)],
    ["vision part, fp32, against ONNX Runtime", "<=", 1, "", ratios([TASKS.vision, oursFp32], [TASKS.vision, onnx])],
    [
      "vision part, int8, against ONNX Runtime's int8",
      "<=",
      0.9,
      "",
      ratios([TASKS.vision, oursInt8], [TASKS.vision, onnxInt8]),
    ],
    [
      "from the start of the process to the first answer, fp32, against the tutorial in Python",
      "<=",
      0.35,
      "",
      ofTutorial(TASKS.start, oursFp32),
    ],
  ];

  const linears = samples(TASKS.linears, NUMBER_TYPES.int8);
  const allowedMs = Math.max(STEP_MS, linears ? STEP_LINEARS * spread(linears).median : 0);
  const further = ratios([TASKS.twoReplicas, oursFp32], [TASKS.oneReplica, oursFp32]).map((ratio) => ratio - 1);
  const fp32 = agreement.get(oursFp32);
  /** @type {Row[]} */
  const everywhere = [
    ["vision part, int8, against our fp32", "<=", 0.62, "", ratios([TASKS.vision, oursInt8], [TASKS.vision, oursFp32])],
    [
      `decoder step, int8, against ${STEP_MS} ms or ${STEP_LINEARS} of its linears' time`,
      "<=",
      1,
      "",
      (samples(TASKS.step, oursInt8) ?? []).map((ms) => ms / allowedMs),
    ],
    [
      "8 concurrent callers against 1, two pictures seen before, int8",
      ">=",
      3,
      "",
      ratios([seenTask(8), oursInt8], [seenTask(1), oursInt8]),
    ],
    ["share of answers with the tutorial's tokens, fp32", ">=", 1, "", fp32 ? [fp32.same / fp32.all] : []],
    ["the tutorial's own artifacts run by us, against Python", "<=", 1, "", ofTutorial(TASKS.whole, oursTutorial)],
    [
      "12-megapixel JPEG to tensor, with sharp, against Pillow + transformers",
      "<=",
      0.8,
      "",
      ratios([TASKS.preprocessLarge, "ours, sharp"], [TASKS.preprocessLarge, "Pillow + transformers"]),
    ],
    [
      "peak memory until the first answer, fp32, against the weights' bytes",
      "<=",
      1.3,
      "",
      (samples(TASKS.peak, oursFp32) ?? []).map((megabytes) => (megabytes * 1e6) / weightsBytes),
    ],
    ["memory of each further replica, against the first", "<=", 0.05, "", further],
    [
      "largest delay of the event loop, 12-megapixel pictures included",
      "<=",
      20,
      "ms",
      samples(TASKS.delay, `${oursBf16}, sharp`) ?? [],
    ],
  ];
  return [...(hasBfloat16 ? withBfloat16 : withoutBfloat16), ...everywhere]
    .filter(([, , , , values]) => values.length > 0)
    .map(([what, sign, bar, unit, values]) => {
      const { median, low, high } = spread(values);
      return { what, sign, bar, unit, value: median, low, high, met: sign === "<=" ? median <= bar : median >= bar };
    });
}
