// Ends, in the way and at the moment that the arguments name, a process that prepares pictures.
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { BlipImageProcessor } from "neuron-blip";
import sharp from "sharp";

const [ending, moment, decoder] = isMainThread ? process.argv.slice(2) : workerData;
const picture = fileURLToPath(new URL("../fixtures/pictures/rocket.jpg", import.meta.url));
const processor = new BlipImageProcessor();

if (isMainThread && ending.startsWith("worker")) {
  const worker = new Worker(new URL(import.meta.url), { workerData: [ending, moment, decoder] });
  worker.on("message", () => worker.terminate());
  worker.on("error", (error) => console.error(error));
} else {
  const end = () => {
    if (ending === "exit") process.exit(3);
    if (ending === "worker-exit") process.exit(0);
    if (ending === "throw") throw new Error("on purpose");
    if (ending === "worker-terminate") parentPort?.postMessage("terminate me");
  };
  const preparing = Array.from({ length: 6 }, () => processor.preprocess(picture, { decoder }));
  if (moment === "lost") {
    // Seconds of work for jimp's decoder.
    const create = { width: 4900, height: 4900, channels: 3, background: "red" };
    const slow = await sharp({ create }).jpeg({ progressive: true }).toBuffer();
    const aborting = new AbortController();
    const { signal } = aborting;
    for (let i = 0; i < 4; i++) processor.preprocess(slow, { decoder, signal }).catch(() => {});
    // A natural end waits for what is still asked for.
    void Promise.all(preparing).then(() => aborting.abort());
    void Promise.all(preparing).then(end);
  }
  if (moment === "before") setImmediate(end);
  if (moment === "during") void preparing[0]?.then(end);
  if (moment === "after") void Promise.all(preparing).then(end);
}
