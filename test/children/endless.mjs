// Ends a process, or a Worker in it, while a forward runs that never returns: see test/slow/exit.test.ts.
// Usage: node endless.mjs ENDLESS_MODULE OTHER_MODULE HOW
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Tensor, TorchModule } from "neuron-blip";

const [endless, other, how] = isMainThread ? process.argv.slice(2) : workerData;

async function start() {
  const module = await TorchModule.load(endless);
  const counter = Tensor.zeros("float32", [1]);
  module.forward([counter]).catch(() => {});
  while (counter.data[0] === 0) await new Promise((resolve) => setImmediate(resolve));
}

async function work() {
  const module = await TorchModule.load(other);
  const { shape } = await module.forward([Tensor.zeros("float32", [3])]);
  await module.dispose();
  return `worked on [${shape}]`;
}

function startWorker(how) {
  return new Worker(new URL(import.meta.url), { workerData: [endless, other, how] });
}

if (!isMainThread && how === "works") {
  parentPort.postMessage(await work());
} else if (!isMainThread) {
  await start();
  parentPort.postMessage("started");
  if (how === "worker-exit") process.exit(0);
  setInterval(() => {}, 1000); // until it is ended
} else if (how.startsWith("worker")) {
  const worker = startWorker(how);
  worker.once("message", () => {
    if (how === "worker-terminate") worker.terminate();
    if (how === "worker-main-exit") process.exit(3);
  });
  worker.once("exit", async () => {
    console.log(`here: ${await work()}`);
    startWorker("works").once("message", (message) => console.log(`in a new Worker: ${message}`));
  });
} else {
  await start();
  process.stdout.write("x".repeat(10_000));
  console.log("written before the end");
  if (how === "exit") process.exit(3);
  if (how === "exit-code") {
    process.exitCode = 5;
    process.on("exit", () => {
      process.exitCode = 3;
    });
    process.exit();
  }
  if (how === "throw") throw new Error("on purpose");
  if (how === "past-exit-handlers") process.reallyExit(3);
  process.kill(process.pid, "SIGTERM");
}
