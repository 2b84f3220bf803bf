// The producer of `neuron-blip work`: asks about the pictures of some URLs by a queue, and prints each result.
//   npm install bullmq ioredis
//   node examples/add-jobs.mjs redis://localhost:6379 pictures https://pictures.example/4711.jpg …
import { createHash } from "node:crypto";
import { Queue, QueueEvents } from "bullmq";
import { Redis } from "ioredis";

const [server, name, ...urls] = process.argv.slice(2);
if (server === undefined || name === undefined || urls.length === 0) {
  throw new Error("Give a Redis, a queue's name and pictures' URLs.");
}

const queue = new Queue(name, { connection: new Redis(server, { maxRetriesPerRequest: null }) });
const events = new QueueEvents(name, { connection: new Redis(server, { maxRetriesPerRequest: null }) });
await events.waitUntilReady();
const questions = ["how many people are there?"];
await Promise.all(
  urls.map(async (url) => {
    // The same id, added again, is the same job.
    const jobId = createHash("sha256").update(JSON.stringify({ url, questions })).digest("hex");
    const job = await queue.add("picture", { picture: { url }, questions }, { jobId });
    try {
      const { answers } = await job.waitUntilFinished(events);
      console.log(`${url}: ${answers[0].answer}`);
    } catch (error) {
      console.log(`${url}: ${error.message}`); // it is in the dead letters
    }
  }),
);
await Promise.all([events.close(), queue.close()]);
process.exit();
