// Times `forward` of a compiled part from Node against the same file from Python, call by call in turn, in one run:
// what our way to libtorch costs.
//   node scripts/bench/bench-forward.mjs DIR [--part vision_model] [--calls 40] [--python python3]
// DIR is a directory that `neuron-blip compile` wrote; the Python needs torch of the addon's version.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Executor, Tensor, TorchModule } from "neuron-blip";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    part: { type: "string", default: "vision_model" },
    calls: { type: "string", default: "40" },
    python: { type: "string", default: process.env.NEURON_BLIP_PYTHON ?? "python3" },
  },
});
const [directory] = positionals;
if (directory === undefined) throw new Error("Give the model directory.");
const part = JSON.parse(readFileSync(join(directory, "neuron_blip.json"), "utf8")).parts[values.part];
const path = join(directory, part.file);
const threads = availableParallelism();
const calls = Number(values.calls);

const module = await TorchModule.load(path, { executor: new Executor({ threads }) });
/** @type {Tensor[]} */
const inputs = part.inputs.map((/** @type {{dtype: import("neuron-blip").Dtype, shape: number[]}} */ spec) => {
  const tensor = Tensor.zeros(spec.dtype, spec.shape);
  if (tensor.data instanceof BigInt64Array) tensor.data.fill(1n);
  else tensor.data.fill(0.1);
  return tensor;
});

const script = fileURLToPath(new URL("bench_forward.py", import.meta.url));
const specs = JSON.stringify(
  part.inputs.map((/** @type {{dtype: string, shape: number[]}} */ { dtype, shape }) => ({ dtype, shape })),
);
// Python waits in OpenMP as it does by default, whatever was set for this process.
const { OMP_WAIT_POLICY, GOMP_SPINCOUNT, ...env } = process.env;
const python = spawn(values.python, [script, path, String(threads), specs], {
  stdio: ["pipe", "pipe", "inherit"],
  env,
});
const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
const ready = await lines.next();
if (ready.value !== "ready") throw new Error(`${values.python} did not load ${path}.`);

/** @type {{node: () => Promise<number>, python: () => Promise<number>}} */
const sides = {
  async node() {
    const start = performance.now();
    await module.forward(inputs);
    return performance.now() - start;
  },
  async python() {
    python.stdin.write("go\n");
    return Number((await lines.next()).value);
  },
};

/** @type {{node: number[], python: number[]}} */
const times = { node: [], python: [] };
for (let i = -5; i < calls; i++) {
  // Each goes first as often as the other.
  const order = /** @type {("node" | "python")[]} */ (i % 2 === 0 ? ["node", "python"] : ["python", "node"]);
  for (const side of order) {
    await sleep(20); // longer than OpenMP's threads spin: neither side shares the cores with the other's
    const time = await sides[side]();
    if (i >= 0) times[side].push(time); // the first five warm up
  }
}
python.stdin.end();
await module.dispose();

/** @param {number[]} list @param {number} share */
const quantile = (list, share) => [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) * share)] ?? Number.NaN;
for (const side of /** @type {const} */ (["node", "python"])) {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(times[side], share).toFixed(2));
  console.log(`${side.padEnd(6)}  median ${middle} ms  (quartiles ${low} to ${high})`);
}
const ratios = times.node.map((time, i) => time / /** @type {number} */ (times.python[i]));
const ratio = quantile(times.node, 0.5) / quantile(times.python, 0.5);
console.log(
  `node / python: ${ratio.toFixed(3)} of medians, ${quantile(ratios, 0.5).toFixed(3)} median of pairs, ${calls} pairs, ${threads} threads`,
);
process.exit();
