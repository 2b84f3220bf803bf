// transformers in a Python process of its own, which scripts/parity/oracle.py answers for.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { SetupError } from "../addon/host.mjs";

const script = fileURLToPath(new URL("oracle.py", import.meta.url));
const shelves = ["compile", "fixtures"].map((name) => fileURLToPath(new URL(`../${name}`, import.meta.url)));

/** Thrown where transformers itself refuses what it was asked. */
export class Refused extends Error {}

/** One Python process, asked one thing at a time. */
export class Oracle {
  #child;
  #lines;

  /** @param {string} python */
  constructor(python) {
    const env = { ...process.env, PYTHONPATH: shelves.join(delimiter) };
    this.#child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"], env });
    this.#child.on("error", () => {});
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * Asks what oracle.py lists.
   * @param {string} command
   * @param {Record<string, unknown>} request
   * @returns {Promise<any>}
   * @throws Refused where transformers raises ValueError; SetupError where the process has ended.
   */
  async ask(command, request) {
    this.#child.stdin.write(`${JSON.stringify({ command, ...request })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new SetupError(`scripts/parity/oracle.py ended at "${command}"; its own words are above.`);
    const { result, refused } = JSON.parse(value);
    if (refused !== undefined) throw new Refused(refused);
    return result;
  }

  /** Ends the process. */
  async close() {
    if (this.#child.exitCode !== null || this.#child.pid === undefined) return;
    this.#child.stdin.end();
    await once(this.#child, "close");
  }
}
