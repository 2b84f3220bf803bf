// Ends a process, or a Worker in it, before, in the middle of or after a forward: see test/exit.test.ts.
// Usage: node exit.mjs MODULE HOW WHEN
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { Tensor, TorchModule } from "neuron-blip";

const [path, how, when] = isMainThread ? process.argv.slice(2) : workerData;

/** Brings the module to the moment; what is still running when this resolves goes on running. */
async function reach() {
  const module = await TorchModule.load(path);
  const quick = Tensor.from(BigInt64Array.of(1n), []);
  const slow = Tensor.from(BigInt64Array.of(60n), []);
  if (when === "before") return;
  const first = module.forward([when === "after" ? slow : quick]);
  // Queued behind the first, so it runs when the first resolves.
  const second = when === "during" ? module.forward([slow]) : undefined;
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
}
