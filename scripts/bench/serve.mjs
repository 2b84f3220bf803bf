// A competitor in Node as child.mjs talks to it: a task a line, {"do": NAME, ...}, and a line for its outcome.
import { createInterface } from "node:readline";

/** @typedef {Record<string, any>} Task */

/** @param {object} outcome */
const tell = (outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`);

/** @param {() => unknown} work @returns {Promise<number>} ms */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** How long, in ms, a stage is done before it is timed: threads that have slept may share one core for some 10 ms. */
const BEFORE_MS = 50;

/**
 * Times a stage as it is in an answer, where it follows others.
 * @param {() => unknown} work @returns {Promise<number>} ms
 */
export async function timedAmongOthers(work) {
  const start = performance.now();
  do await work();
  while (performance.now() - start < BEFORE_MS);
  return timed(work);
}

/**
 * Says that all is loaded, then does one task after another until there are no more.
 * @param {Record<string, string>} versions of what runs here
 * @param {Record<string, (task: Task) => Promise<object>>} tasks
 */
export async function serve(versions, tasks) {
  tell({ versions: { node: process.versions.node, ...versions } });
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
}
