// How near each figure comes to what the machine can do at most, which limits.py measures in the same run.
import { NAMES } from "./competitors.mjs";
import { spread } from "./rounds.mjs";
import { NUMBER_TYPES, TASKS } from "./sections.mjs";

/** @typedef {import("./rounds.mjs").Result} Result */
/** @typedef {import("./work.mjs").Work} Work */
/** @typedef {keyof typeof NUMBER_TYPES} NumberType */

/**
 * @typedef {object} Share
 * @property {string} task
 * @property {string} competitor
 * @property {number} ms the median of the rounds
 * @property {number} limitMs what the machine would take at its limits
 * @property {number} share the one of the other; 1 is the limit
 */

/** @type {Readonly<Record<NumberType, number>>} */
const BYTES = { float32: 4, bfloat16: 2, int8: 1 };

/** In which a competitor multiplies; the others in float32. @type {Readonly<Record<string, NumberType>>} */
const TYPE_OF = {
  [NAMES.transformersBf16]: "bfloat16",
  [NAMES.oursBf16]: "bfloat16",
  [NAMES.onnxInt8]: "int8",
  [NAMES.oursInt8]: "int8",
};

/**
 * The shares of what the results tell about; none where the limits were not measured.
 * @param {readonly Result[]} results
 * @param {ReturnType<typeof import("./work.mjs").workOfModel>} work
 * @returns {Share[]}
 */
export function sharesOf(results, work) {
  // The best of all rounds: what the machine did once, it can do.
  /** @param {string} task @param {string} [competitor] */
  const most = (task, competitor = "") => {
    const found = results.find((result) => result.task === task && result.competitor === competitor);
    return found && Math.max(...found.samples) * 1e9;
  };
  /** @param {NumberType} type */
  const multiplying = (type) => most(TASKS.multiplication, NUMBER_TYPES[type]);
  const bytesPerSecond = most(TASKS.reading);
  /** @type {[string, readonly Work[]][]} */
  const tasks = [
    [TASKS.whole, work.whole],
    [TASKS.next, work.next],
    [TASKS.vision, work.vision],
    [TASKS.step, work.step],
  ];
  return tasks.flatMap(([task, parts]) =>
    results.flatMap((result) => {
      const type = TYPE_OF[result.competitor] ?? "float32";
      // A CPU without bfloat16 multiplies its numbers in float32.
      const operationsPerSecond = multiplying(type) ?? (type === "bfloat16" ? multiplying("float32") : undefined);
      if (result.task !== task || operationsPerSecond === undefined || bytesPerSecond === undefined) return [];
      const seconds = parts.map(({ operations, weights }) =>
        Math.max(operations / operationsPerSecond, (weights * BYTES[type]) / bytesPerSecond),
      );
      const limitMs = 1000 * seconds.reduce((sum, each) => sum + each, 0);
      const ms = spread(result.samples).median;
      return [{ task, competitor: result.competitor, ms, limitMs, share: limitMs / ms }];
    }),
  );
}
