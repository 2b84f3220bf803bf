// A worker for NATS JetStream:
//   npm install neuron-blip @nats-io/transport-node @nats-io/jetstream
//   node examples/nats-worker.mjs ./blip-vqa-base nats://localhost:4222
// A job is {"id": "4711", "picture": {"base64": "…"}, "questions": ["is a dog barking?"]}, published to pictures.jobs. NATS takes
// messages of up to 1 MB by default: larger pictures belong in a store of objects. The result is the message pictures.results.4711, of
// which there is one for each id: it is acknowledged by NATS before the job is, and one that comes again is known by its id.
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from "@nats-io/jetstream";
import { connect, headers, nanos } from "@nats-io/transport-node";
import { NeuronBlip } from "neuron-blip";
import { answerJob, isBad, readJob } from "./answer-job.mjs";

const [directory, server] = process.argv.slice(2);
if (directory === undefined || server === undefined)
  throw new Error("Give a model directory and the URL of a NATS server.");
/** So long a job is another's after its worker died. A worker that lives says that it is still working. */
const ackWaitMs = Number(process.env.ACK_WAIT_MS ?? 30_000);
const ATTEMPTS = 5;

const blip = await NeuronBlip.fromPretrained(directory, { files: false, fetch: false });
const connection = await connect({ servers: server, maxReconnectAttempts: -1 });
const manager = await jetstreamManager(connection);
const stream = jetstream(connection);

// These change nothing where they are there already.
await manager.streams.add({ name: "JOBS", subjects: ["pictures.jobs"], retention: RetentionPolicy.Workqueue });
await manager.streams.add({ name: "RESULTS", subjects: ["pictures.results.*"], max_msgs_per_subject: 1 });
await manager.streams.add({ name: "DEAD_LETTERS", subjects: ["pictures.dead"] });
await manager.consumers.add("JOBS", {
  ...{ durable_name: "workers", ack_policy: AckPolicy.Explicit, ack_wait: nanos(ackWaitMs) },
  max_deliver: ATTEMPTS + 3, // the deliveries beyond the attempts bring a job to the dead letters
});
const jobs = await stream.consumers.get("JOBS", "workers");

/**
 * Sends a job to the dead letters. It leaves the queue once it is there.
 * @param {import("@nats-io/jetstream").JsMsg} message
 * @param {string} reason
 */
async function bury(message, reason) {
  const why = headers();
  why.set("reason", reason.replaceAll(/\s+/g, " "));
  await stream.publish("pictures.dead", message.data, { msgID: `dead-${message.seq}`, headers: why });
  message.term();
}

/** @param {import("@nats-io/jetstream").JsMsg} message */
async function handle(message) {
  const heartbeat = setInterval(() => message.working(), ackWaitMs / 3);
  try {
    if (message.info.deliveryCount > ATTEMPTS) {
      await bury(message, `It failed ${ATTEMPTS} times, or its process died.`);
      return;
    }
    const job = readJob(message.string(), "base64");
    const result = await answerJob(blip, Buffer.from(job.picture, "base64"), job);
    await stream.publish(`pictures.results.${job.id}`, result, { msgID: job.id });
    message.ack();
  } catch (error) {
    console.error(error.message);
    if (isBad(error)) await bury(message, error.message).catch(() => message.nak(1000));
    else message.nak(1000 * 2 ** message.info.deliveryCount); // it may go well another time
  } finally {
    clearInterval(heartbeat);
  }
}

let isEnding = false;
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => {
    isEnding = true;
  });
}
console.log("working");
while (!isEnding) {
  // Each is begun as it comes; jobs that are in hand together share the model's batches.
  const inHand = [];
  for await (const message of await jobs.fetch({ max_messages: 8, expires: 2000 })) inHand.push(handle(message));
  await Promise.all(inHand);
}
await connection.drain();
await blip.dispose();
