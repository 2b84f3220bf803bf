// A worker for Amazon SQS. Pictures and results are in a bucket of S3; the queue carries where they are:
//   npm install neuron-blip sqs-consumer @aws-sdk/client-sqs @aws-sdk/client-s3
//   node examples/sqs-worker.mjs ./blip-vqa-base QUEUE_URL DEAD_LETTER_QUEUE_URL BUCKET
// A message is {"id": "4711", "picture": {"key": "pictures/4711.jpg"}, "questions": ["is a dog barking?"]}; its result is the
// object results/4711.json. SQS may deliver a message twice: the second result takes the first one's place, so each id has one.
// Set the queue's redrive policy to the same dead-letter queue (maxReceiveCount 5, say): jobs that keep failing go there.
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { NeuronBlip } from "neuron-blip";
import { Consumer } from "sqs-consumer";
import { answerJob, BadJob, isBad, readJob } from "./answer-job.mjs";

const [directory, queueUrl, deadLetterUrl, bucket] = process.argv.slice(2);
if (directory === undefined || queueUrl === undefined || deadLetterUrl === undefined || bucket === undefined) {
  throw new Error("Give a model directory, the URLs of a queue and of its dead-letter queue, and a bucket.");
}
/** So long a message is another's after its worker died. A worker that lives extends it. */
const visibilityTimeout = Number(process.env.VISIBILITY_TIMEOUT ?? 30);
const MAX_BYTES = 10 * 2 ** 20;

// Both ask the region's endpoint, or AWS_ENDPOINT_URL.
const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
const s3 = new S3Client({});
// Only bytes are passed on; should a string of a job's ever be, it is no path and no URL.
const blip = await NeuronBlip.fromPretrained(directory, { files: false, fetch: false });

/** @param {string} key */
async function readPicture(key) {
  try {
    const { Body, ContentLength = 0 } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    if (ContentLength > MAX_BYTES) {
      Body?.destroy?.();
      throw new BadJob(`The picture has more than ${MAX_BYTES} bytes.`);
    }
    return await Body.transformToByteArray();
  } catch (error) {
    if (error.name === "NoSuchKey") throw new BadJob(`There is no object ${key}.`);
    throw error;
  }
}

/**
 * Does one job. The message is deleted after this returned it, so the result is stored by then.
 * @param {import("@aws-sdk/client-sqs").Message} message
 */
async function handleMessage(message) {
  try {
    const job = readJob(message.Body ?? "", "key");
    const result = await answerJob(blip, await readPicture(job.picture), job);
    await s3.send(
      new PutObjectCommand({
        ...{ Bucket: bucket, Key: `results/${job.id}.json` },
        ...{ Body: result, ContentType: "application/json" },
      }),
    );
  } catch (error) {
    // What may go well another time stays in the queue, and counts as received once.
    if (!isBad(error)) throw error;
    await sqs.send(
      new SendMessageCommand({
        ...{ QueueUrl: deadLetterUrl, MessageBody: message.Body },
        MessageAttributes: { reason: { DataType: "String", StringValue: error.message } },
      }),
    );
  }
  return message;
}

const consumer = Consumer.create({
  ...{ queueUrl, sqs, handleMessage, visibilityTimeout },
  heartbeatInterval: visibilityTimeout / 3,
  batchSize: 10, // messages that are in hand together share the model's batches
  waitTimeSeconds: 5,
  // What failed is tried again after 2, 4, 8 … seconds.
  messageSystemAttributeNames: ["ApproximateReceiveCount"],
  terminateVisibilityTimeout: ([message]) =>
    Math.min(900, 2 ** Number(message?.Attributes?.ApproximateReceiveCount ?? 1)),
  // How long a worker that is told to end waits for what it has in hand.
  pollingCompleteWaitTimeMs: 60_000,
});
for (const event of ["error", "processing_error"]) consumer.on(event, (error) => console.error(error.message));
consumer.on("stopped", async () => {
  await blip.dispose();
  process.exit();
});
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => consumer.stop());
consumer.start();
console.log("working");
