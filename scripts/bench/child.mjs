// A competitor in a process of its own, which speaks JSON, a line for each task and each outcome.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** @typedef {{ms?: number, tokens?: number[][], perSecond?: number, answers?: number, rss?: number, largest?: number, p99?: number, error?: string}} Outcome */

export class Child {
  #process;
  #lines;
  #name;

  /** When it was started, by performance.now(). */
  startedAt = performance.now();
  /** From then to the line that says that all is loaded, in ms. */
  readyMs = 0;
  /** @type {Record<string, string>} */
  versions = {};

  /**
   * @param {string} name for messages
   * @param {string} program @param {string[]} args
   * @param {Record<string, string>} env added to this process's
   */
  constructor(name, program, args, env = {}) {
    this.#name = name;
    // Waiting in OpenMP is each side's own affair, whatever was set for this process.
    const { OMP_WAIT_POLICY, GOMP_SPINCOUNT, NEURON_BLIP_DECODER, ...rest } = process.env;
    this.#process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env: { ...rest, ...env } });
    // A process that has ended is told by its output, which ends.
    this.#process.on("error", () => {});
    this.#process.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /**
   * @param {string} name @param {string} program @param {string[]} args
   * @param {Record<string, string>} [env]
   */
  static async start(name, program, args, env) {
    const child = new Child(name, program, args, env);
    const { versions = {} } = /** @type {{versions?: Record<string, string>}} */ (await child.#next());
    child.readyMs = performance.now() - child.startedAt;
    child.versions = versions;
    return child;
  }

  /**
   * @param {string} task @param {object} [details]
   * @returns {Promise<Outcome>}
   */
  async ask(task, details = {}) {
    this.#process.stdin.write(`${JSON.stringify({ do: task, ...details })}\n`);
    return this.#next();
  }

  /** The most physical memory that it has had, in bytes, mapped files included; undefined where the system does not tell. */
  get peakMemory() {
    const path = `/proc/${this.#process.pid}/status`;
    const peak = existsSync(path) ? /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(path, "utf8")) : undefined;
    return peak ? Number(peak[1]) * 1024 : undefined;
  }

  /** Ends it when it has done what it was asked. */
  async close() {
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.stdin.end();
    if (this.#process.exitCode === null && this.#process.signalCode === null) await ended;
  }

  /** Ends it at once. */
  kill() {
    this.#process.kill("SIGKILL");
  }

  /** @returns {Promise<Outcome>} */
  async #next() {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#name} ended; what it said is above.`);
    const outcome = JSON.parse(value);
    if (outcome.error !== undefined) throw new Error(`${this.#name}: ${outcome.error}`);
    return outcome;
  }
}
