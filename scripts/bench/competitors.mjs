// Who is measured, and how each is started.
import { fileURLToPath } from "node:url";
import { Child } from "./child.mjs";

const peers = fileURLToPath(new URL("peers.py", import.meta.url));
const limits = fileURLToPath(new URL("limits.py", import.meta.url));
const onnxruntimeNode = fileURLToPath(new URL("onnxruntime-node.mjs", import.meta.url));
const ours = fileURLToPath(new URL("ours.mjs", import.meta.url));

/** What each is called in results. */
export const NAMES = /** @type {const} */ ({
  tutorial: "tutorial, Python",
  transformers: "transformers",
  transformersBf16: "transformers, bf16 autocast",
  onnx: "ONNX Runtime",
  onnxInt8: "ONNX Runtime, int8",
  onnxNode: "onnxruntime-node",
  oursTutorial: "ours, tutorial's parts",
  oursFp32: "ours, fp32",
  oursBf16: "ours, bf16",
  oursInt8: "ours, int8",
});
/** @typedef {typeof NAMES[keyof typeof NAMES]} Name */

/** @param {Name} name */
const isOurs = (name) => name.startsWith("ours");

/** @param {Map<Name, Promise<Child>>} children */
async function closeAll(children) {
  const all = await Promise.allSettled(children.values());
  children.clear();
  await Promise.all(all.map((child) => (child.status === "fulfilled" ? child.value.close() : undefined)));
}

/** The competitors, each started when it is first asked, and kept until all is done. */
export class Competitors {
  /** @type {Map<Name, Promise<Child>>} */
  #children = new Map();
  /** @type {Map<Name, Promise<Child>>} */
  #stages = new Map();
  #prepared;
  #threads;
  /** Of all that was started. @type {Record<string, string>} */
  versions = {};

  /** @param {import("./prepare.mjs").Prepared} prepared @param {number} threads */
  constructor(prepared, threads) {
    this.#prepared = prepared;
    this.#threads = threads;
    if (prepared.onnxruntimeNode === undefined) this.versions[NAMES.onnxNode] = "left out: no binary for this host";
  }

  /** Those that this host can run. @param {readonly Name[]} names */
  runnable(names) {
    return names.filter((name) => name !== NAMES.onnxNode || this.#prepared.onnxruntimeNode !== undefined);
  }

  /** @param {Name} name */
  get(name) {
    const child = this.#children.get(name) ?? this.start(name);
    this.#children.set(name, child);
    return child;
  }

  /**
   * One for stages and parts alone. Ours is another process, without the model: OpenMP's threads wait less eagerly where a
   * process has more of them than there are cores.
   * @param {Name} name
   */
  forStages(name) {
    if (!isOurs(name)) return this.get(name);
    const child = this.#stages.get(name) ?? this.start(name, { numModels: 0 });
    this.#stages.set(name, child);
    return child;
  }

  /**
   * A fresh one, to be closed by the caller.
   * @param {Name} name @param {{numModels?: number}} [options] of ours; 0: without the model, for stages alone
   */
  async start(name, { numModels = 1 } = {}) {
    const { tutorial, source } = this.#prepared;
    const files = JSON.stringify(this.#prepared);
    /** @param {string} directory @param {string} [dtype] of a checkpoint */
    const startOurs = (directory, dtype) =>
      Child.start(name, process.execPath, [
        ours,
        directory,
        // Replicas share the cores.
        JSON.stringify({ threads: Math.max(1, Math.floor(this.#threads / Math.max(1, numModels))), numModels, dtype }),
      ]);
    /** @param {string} kind */
    const startPeer = (kind) => this.#startPython(name, [peers, kind, String(this.#threads), files]);
    const starts = {
      [NAMES.tutorial]: () => startPeer("tutorial"),
      [NAMES.transformers]: () => startPeer("transformers"),
      [NAMES.transformersBf16]: () => startPeer("bf16"),
      [NAMES.onnx]: () => startPeer("onnx"),
      [NAMES.onnxInt8]: () => startPeer("onnxInt8"),
      [NAMES.onnxNode]: () => Child.start(name, process.execPath, [onnxruntimeNode, String(this.#threads), files]),
      [NAMES.oursTutorial]: () => startOurs(tutorial),
      [NAMES.oursFp32]: () => startOurs(source, "float32"),
      [NAMES.oursBf16]: () => startOurs(source, "bfloat16"),
      [NAMES.oursInt8]: () => startOurs(source, "int8"),
    };
    const child = await starts[name]();
    Object.assign(this.versions, child.versions);
    return child;
  }

  /** What measures the machine; to be closed by the caller. */
  startLimits() {
    return this.#startPython("limits", [limits, String(this.#threads)]);
  }

  /** @param {string} name @param {string[]} args */
  #startPython(name, args) {
    return Child.start(name, this.#prepared.python, args, { OMP_NUM_THREADS: String(this.#threads) });
  }

  /** Ends those that were started for stages. */
  async endStages() {
    await closeAll(this.#stages);
  }

  async close() {
    await closeAll(this.#stages);
    await closeAll(this.#children);
  }
}
