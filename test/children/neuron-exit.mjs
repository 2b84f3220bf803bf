// Ends a process, or a Worker in it, in the middle of a call on a NeuronCore: see test/slow/neuron.test.ts.
// Usage: node neuron-exit.mjs MODEL HOW; HOW "waiting" only asks, and waits for the answer.
import { readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { NeuronBlip } from "neuron-blip";
import { ask } from "./neuron-work.mjs";

const hardware = process.env.NEURON_BLIP_STAND_IN;
const [model, how] = isMainThread ? process.argv.slice(2) : workerData;

/** Resolves when a call is on its core, where the stand-in holds it for a while. */
async function begin() {
  const blip = await NeuronBlip.fromPretrained(model, { threads: 1, warmUp: false });
  const begun = new Promise((resolve) => {
    const watcher = watch(hardware, () => {
      if (!readFileSync(join(hardware, "events.log"), "utf8").includes(" begin ")) return;
      watcher.close();
      resolve();
    });
  });
  ask(blip, 0).catch(() => {});
  await begun;
}

if (!isMainThread) {
  await begin();
  parentPort.postMessage("begun");
  if (how === "worker-exit") process.exit(3);
  // Kept alive until it is terminated, or until its parent exits.
  if (how !== "worker-natural") setInterval(() => {}, 1000);
} else if (how === "waiting") {
  const blip = await NeuronBlip.fromPretrained(model, { threads: 1, warmUp: false, reloadDelayMs: 50 });
  console.log(JSON.stringify(await ask(blip, 0)));
} else if (how.includes("worker")) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [model, how] });
  worker.on("message", () => {
    if (how === "worker-terminate") worker.terminate();
    if (how === "exit-with-worker") process.exit(3);
  });
} else {
  await begin();
  if (how === "exit") process.exit(3);
  if (how === "throw") throw new Error("on purpose");
}
