// The bars that the project sets itself, as ratios to others in the same run.
import { NAMES } from "./competitors.mjs";
import { spread } from "./rounds.mjs";
import { newTask, seenTask, TASKS } from "./sections.mjs";

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

/**
 * The bars that the results tell about, the others left out.
 * @param {readonly Result[]} results
 * @param {{weightsBytes: number}} model
 * @returns {Bar[]}
 */
export function barsOf(results, { weightsBytes }) {
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
  const { tutorial, onnx, oursTutorial, oursFp32, oursBf16 } = NAMES;
  const further = ratios([TASKS.twoReplicas, oursFp32], [TASKS.oneReplica, oursFp32]).map((ratio) => ratio - 1);
  /** @type {[string, "<=" | ">=", number, string, number[]][]} */
  const bars = [
    ["one picture, one question, fp32", "<=", 0.65, "", ratios([TASKS.whole, oursFp32], [TASKS.whole, tutorial])],
    ["the same, bf16", "<=", 0.36, "", ratios([TASKS.whole, oursBf16], [TASKS.whole, tutorial])],
    ["next question on the same picture, bf16", "<=", 0.06, "", ratios([TASKS.next, oursBf16], [TASKS.next, tutorial])],
    [
      "8 questions on one new picture, bf16, against 8 tutorial answers",
      "<=",
      0.055,
      "",
      ratios([TASKS.questions, oursBf16], [TASKS.questions, tutorial]),
    ],
    ["vision part, fp32, against ONNX Runtime", "<=", 1.06, "", ratios([TASKS.vision, oursFp32], [TASKS.vision, onnx])],
    [
      "the tutorial's own artifacts run by us, against Python",
      "<=",
      1,
      "",
      ratios([TASKS.whole, oursTutorial], [TASKS.whole, tutorial]),
    ],
    [
      "12-megapixel JPEG to tensor, with sharp, against Pillow + transformers",
      "<=",
      0.8,
      "",
      ratios([TASKS.preprocessLarge, "ours, sharp"], [TASKS.preprocessLarge, "Pillow + transformers"]),
    ],
    [
      "from the start of the process to the first answer, fp32, against the tutorial in Python",
      "<=",
      0.4,
      "",
      ratios([TASKS.start, oursFp32], [TASKS.start, tutorial]),
    ],
    [
      "peak memory until then, fp32, against the weights' bytes",
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
  return bars
    .filter(([, , , , values]) => values.length > 0)
    .map(([what, sign, bar, unit, values]) => {
      const { median, low, high } = spread(values);
      return { what, sign, bar, unit, value: median, low, high, met: sign === "<=" ? median <= bar : median >= bar };
    });
}
