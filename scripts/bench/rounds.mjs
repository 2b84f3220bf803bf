// Measures several competitors in turn, so that what the machine does otherwise falls on all alike.
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Longer than threads of OpenMP and of ONNX Runtime spin after their last work, so that none shares the cores with the next
 * competitor's.
 */
const SETTLE_MS = 60;

/**
 * @typedef {object} Result one thing that was measured of one competitor
 * @property {string} section
 * @property {string} task
 * @property {string} competitor
 * @property {string} unit
 * @property {number[]} samples one for each round, in the order of the rounds
 */

/**
 * Runs each competitor once in each round, and begins each round with another.
 * @template {string | number} Name
 * @template Sample
 * @param {readonly [Name, (round: number) => Promise<Sample>][]} runs
 * @param {{rounds: number, warmUp?: number, settleMs?: number}} options warmUp: rounds before, which do not count; settleMs: the
 * pause before each run
 * @returns {Promise<Map<Name, Sample[]>>}
 */
export async function inTurn(runs, { rounds, warmUp = 0, settleMs = SETTLE_MS }) {
  /** @type {Map<Name, Sample[]>} */
  const samples = new Map(runs.map(([name]) => [name, []]));
  for (let round = -warmUp; round < rounds; round++) {
    for (let i = 0; i < runs.length; i++) {
      const run = runs[(i + round + warmUp) % runs.length];
      if (run === undefined) continue;
      await sleep(settleMs);
      const sample = await run[1](round + warmUp);
      if (round >= 0) samples.get(run[0])?.push(sample);
    }
  }
  return samples;
}

/**
 * The value below which a share of the values lies, interpolated between neighbours.
 * @param {readonly number[]} values @param {number} share
 */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/** @param {readonly number[]} values */
export function spread(values) {
  return { median: quantile(values, 0.5), low: quantile(values, 0.25), high: quantile(values, 0.75) };
}
