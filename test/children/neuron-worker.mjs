// A Worker that loads a model, asks, and ends.
import { parentPort, workerData } from "node:worker_threads";
import { NeuronBlip } from "neuron-blip";
import { ask } from "./neuron-work.mjs";

const { directory, options, count } = workerData;
try {
  const blip = await NeuronBlip.fromPretrained(directory, { threads: 1, ...options });
  const answers = await Promise.all(Array.from({ length: count }, (_, n) => ask(blip, n)));
  await blip.dispose();
  parentPort.postMessage({ answers: answers.map((tokenIds) => ({ tokenIds })) });
} catch ({ code, message, status, stack }) {
  parentPort.postMessage({ error: { code, message: code ? message : stack, status } });
}
