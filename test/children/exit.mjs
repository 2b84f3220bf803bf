// Ends a process, or a Worker in it, before, in the middle of or after a forward: see test/torch/exit.test.ts.
// Usage: node exit.mjs MODULE HOW WHEN; MODULE: a file, or "source" for functions from a source text, over a mapped file.
import { fileURLToPath } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { Executor, Tensor, TorchModule } from "neuron-blip";
import { openTensors } from "../../dist/torch/tensor-file.js";
import { TorchFunctions } from "../../dist/torch/torch-functions.js";

const [path, how, when] = isMainThread ? process.argv.slice(2) : workerData;

const SOURCE = `
def forward(weights: Dict[str, Tensor], times: int) -> Tensor:
    x = weights["t"]
    for i in range(times * 200):
        x = torch.matmul(x, weights["t"]).clamp(0.0, 1.0)
    return x
`;

/** @returns what runs for so long, on an executor's thread */
async function load() {
  if (path !== "source") {
    const module = await TorchModule.load(path);
    return (times) => module.forward([Tensor.from(BigInt64Array.of(BigInt(times)), [])]);
  }
  const executor = new Executor({ threads: 1 });
  const functions = await TorchFunctions.compile(SOURCE, { executor, name: "source" });
  // Of any bytes: this file's.
  const entries = [{ name: "t", dtype: "float32", shape: [24, 24], offset: 0 }];
  const opened = await openTensors(fileURLToPath(import.meta.url), entries, { executor });
  const weights = await functions.keep("forward", [opened, 0]);
  await weights.dispose();
  return (times) => functions.call("forward", [opened, times]);
}

/** Brings what runs to the moment; what is still running when this resolves goes on running. */
async function reach() {
  const run = await load();
  if (when === "before") return;
  const first = run(when === "after" ? 60 : 1);
  // Queued behind the first, so it runs when the first resolves.
  const second = when === "during" ? run(60) : undefined;
  second?.catch(() => {});
  await first;
}

/** The Worker's part: says when the moment has come, then stays, or ends as told. */
async function work(port) {
  await reach();
  port.postMessage("reached");
  if (how === "worker-exit") process.exit(3);
  if (how === "worker-throw") throw new Error("on purpose");
  // Kept alive until it is terminated, or until its parent exits.
  if (how !== "worker-natural") setInterval(() => {}, 1000);
}

if (!isMainThread) {
  const { parentPort } = await import("node:worker_threads");
  await work(parentPort);
} else if (how.startsWith("worker-") || how === "exit-with-worker") {
  const worker = new Worker(new URL(import.meta.url), { workerData: [path, how, when] });
  worker.on("message", () => {
    if (how === "worker-terminate") worker.terminate();
    if (how === "exit-with-worker") process.exit(3);
  });
  worker.on("error", (error) => {
    if (error.message !== "on purpose") throw error;
  });
} else {
  await reach();
  if (how === "exit") process.exit(3);
  if (how === "throw") throw new Error("on purpose");
  if (how === "exit-in-exit-handler") {
    process.prependListener("exit", () => process.exit(3));
    process.exit(4);
  }
  if (how === "throw-in-exit-handler") {
    process.prependListener("exit", () => {
      throw new Error("on purpose");
    });
    process.exit(4);
  }
}
