// What the benchmark found, in one object: what its JSON file holds.
import { cpus, totalmem } from "node:os";
import { barsOf } from "./bars.mjs";
import { NAMES } from "./competitors.mjs";
import { sharesOf } from "./limits.mjs";

/**
 * @typedef {object} Report
 * @property {number} version of this form
 * @property {string} startedAt
 * @property {string} machine
 * @property {string} settings
 * @property {Record<string, string>} versions
 * @property {import("./bars.mjs").Bar[]} bars
 * @property {import("./limits.mjs").Share[]} shares
 * @property {string} agreement
 * @property {import("./rounds.mjs").Result[]} results
 */

/**
 * @param {{startedAt: Date, settings: string, results: import("./rounds.mjs").Result[]}} run
 * @param {import("./sections.mjs").Bench & {weightsBytes: number}} bench
 * @returns {Report}
 */
export function reportOf({ startedAt, settings, results }, bench) {
  const { competitors, threads } = bench;
  const counts = agreementOf(bench.answers);
  const cpu = cpus()[0]?.model.trim() ?? "unknown CPU";
  return {
    version: 1,
    startedAt: startedAt.toISOString(),
    machine: `${cpu}, ${threads} ${threads === 1 ? "thread" : "threads"} for each, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    settings,
    versions: competitors.versions,
    bars: barsOf(results, { ...bench, agreement: counts }),
    shares: sharesOf(results, bench.work),
    agreement: agreementWords(counts),
    results,
  };
}

/** @typedef {ReadonlyMap<string, {same: number, all: number}>} Agreement by the competitor's name */

/**
 * Who gave the same tokens as the tutorial's pipeline for the same picture and question.
 * @param {Map<string, Map<string, string>>} answers
 * @returns {Agreement}
 */
function agreementOf(answers) {
  /** @type {Map<string, {same: number, all: number}>} */
  const counts = new Map();
  for (const said of answers.values()) {
    const expected = said.get(NAMES.tutorial);
    if (expected === undefined) continue;
    for (const [name, tokens] of said) {
      if (name === NAMES.tutorial) continue;
      const count = counts.get(name) ?? { same: 0, all: 0 };
      counts.set(name, { same: count.same + (tokens === expected ? 1 : 0), all: count.all + 1 });
    }
  }
  return counts;
}

/** @param {Agreement} counts */
function agreementWords(counts) {
  if (counts.size === 0) return "No answers were compared.";
  const words = [...counts].map(([name, { same, all }]) => `${name} ${same} of ${all}`);
  return `The tutorial's tokens were also those of: ${words.join("; ")}. (Weights are random: where two tokens are nearly as likely, rounding decides.)`;
}
