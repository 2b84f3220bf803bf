// examples/sqs-worker.mjs with an emulator of SQS and S3: what becomes of jobs where workers or the jobs themselves fail.
import assert from "node:assert/strict";
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { CreateQueueCommand, SendMessageBatchCommand, SQSClient } from "@aws-sdk/client-sqs";
import { buildApp } from "fauxqs";
import type { Child } from "../service/helpers/child.js";
import { figure } from "../service/helpers/figures.js";
import { picture } from "../service/helpers/pictures.js";
import { until } from "../service/helpers/ports.js";
import { startExample } from "./helpers/example.js";
import { questions } from "./helpers/jobs.js";
import { Supervisor } from "./helpers/worker-process.js";

/** What the emulator tells of a queue. */
interface QueueMessage {
  readonly body: string;
  readonly messageAttributes: Readonly<Record<string, { readonly StringValue?: string }>>;
}
interface QueueContents {
  readonly ready: readonly QueueMessage[];
  readonly delayed: readonly QueueMessage[];
  readonly inflight: readonly { readonly message: QueueMessage }[];
}

const BUCKET = "pictures";
const job = (id: string, more: object = {}) => ({ id, picture: { key: "pictures/a.png" }, questions, ...more });

describe("examples/sqs-worker.mjs", function () {
  this.timeout(120_000);
  let aws: ReturnType<typeof buildApp>;
  let env: Readonly<Record<string, string>>;
  let sqs: SQSClient;
  let s3: S3Client;
  let jobs: string | undefined;
  let dead: string | undefined;

  beforeEach(async () => {
    // Not `startFauxqs`, which listens on all addresses.
    aws = buildApp({ logger: false });
    const endpoint = await aws.listen({ port: 0, host: "127.0.0.1" });
    env = {
      ...{ AWS_ENDPOINT_URL: endpoint, AWS_REGION: "us-east-1", VISIBILITY_TIMEOUT: "3" },
      ...{ AWS_ACCESS_KEY_ID: "a-key", AWS_SECRET_ACCESS_KEY: "a-secret" },
    };
    const client = { endpoint, region: "us-east-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
    sqs = new SQSClient(client);
    s3 = new S3Client({ ...client, forcePathStyle: true });
    ({ QueueUrl: dead } = await sqs.send(new CreateQueueCommand({ QueueName: "dead" })));
    const RedrivePolicy = JSON.stringify({
      deadLetterTargetArn: "arn:aws:sqs:us-east-1:000000000000:dead",
      maxReceiveCount: "5",
    });
    ({ QueueUrl: jobs } = await sqs.send(new CreateQueueCommand({ QueueName: "jobs", Attributes: { RedrivePolicy } })));
    await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "pictures/a.png", Body: picture }));
  });
  afterEach(async () => {
    sqs?.destroy();
    s3?.destroy();
    await aws?.close();
  });

  const start = (preloads: readonly string[] = []): Child =>
    startExample("sqs-worker.mjs", { args: [jobs ?? "", dead ?? "", BUCKET], env, preloads });

  async function add(bodies: readonly string[]): Promise<void> {
    for (let i = 0; i < bodies.length; i += 10) {
      const entries = bodies.slice(i, i + 10).map((body, k) => ({ Id: String(k), MessageBody: body }));
      await sqs.send(new SendMessageBatchCommand({ QueueUrl: jobs, Entries: entries }));
    }
  }

  async function inspect(name: string): Promise<QueueContents> {
    return (await aws.inject(`/_fauxqs/queues/${name}`)).json<{ messages: QueueContents }>().messages;
  }

  async function messages(name: string): Promise<QueueMessage[]> {
    const { ready, delayed, inflight } = await inspect(name);
    return [...ready, ...delayed, ...inflight.map(({ message }) => message)];
  }

  async function results(): Promise<string[]> {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: "results/" }));
    return Contents.map(({ Key = "" }) => Key);
  }

  async function result(key: string) {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return JSON.parse((await Body?.transformToString()) ?? "");
  }

  it("gives each job its one result where workers are killed under load", async () => {
    const ids = Array.from({ length: 200 }, (_, i) => `job-${i}`);
    await add(ids.map((id) => JSON.stringify(job(id))));
    await using workers = new Supervisor(start, 2);
    for (const [i, share] of [0.1, 0.3, 0.5, 0.7].entries()) {
      await until("jobs are done", async () => (await results()).length >= share * 200);
      workers.kill(i % 2);
    }
    await until("all jobs have left the queue", async () => (await messages("jobs")).length === 0, 60_000);
    figure("SQS: killed under load", `${workers.ended} workers; 200 of 200 jobs have one result each`);
    const keys = await results();
    assert.deepEqual(keys.sort(), ids.map((id) => `results/${id}.json`).sort());
    assert.deepEqual(await messages("dead"), []);
    for (const key of keys) {
      const { id, answers } = await result(key);
      assert.equal(key, `results/${id}.json`);
      assert.deepEqual(
        answers.map(({ question }: { question: string }) => question),
        questions,
      );
    }
  });

  it("sends bad input to the dead letters at once, with the reason, and the rest is answered", async () => {
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: "pictures/none.png", Body: "no picture" }));
    const bad: [string, RegExp][] = [
      ["no JSON", /no JSON/],
      ["null", /no id/],
      [JSON.stringify(job("../up")), /no id/],
      [JSON.stringify(job("a", { picture: { url: "http://127.0.0.1/a.png" } })), /no picture\.key/],
      [JSON.stringify(job("b", { picture: { key: "pictures/nowhere.png" } })), /There is no object/],
      [JSON.stringify(job("c", { picture: { key: "pictures/none.png" } })), /picture/],
      [JSON.stringify(job("d", { questions: [] })), /no list/],
    ];
    await add([...bad.map(([body]) => body), JSON.stringify(job("good"))]);
    await using _worker = start();
    await until("all jobs have left the queue", async () => (await messages("jobs")).length === 0);
    assert.deepEqual(await results(), ["results/good.json"]);
    const letters = await messages("dead");
    assert.equal(letters.length, bad.length);
    for (const [body, reason] of bad) {
      const letter = letters.find((message) => message.body === body) ?? assert.fail(`${body} is no dead letter`);
      assert.match(letter.messageAttributes.reason?.StringValue ?? "", reason);
    }
  });

  it("leaves a job that keeps ending its process to the redrive policy", async () => {
    await add([JSON.stringify(job("poison", { questions: ["is there poison?"] }))]);
    await using workers = new Supervisor(() => start(["poison.mjs"]), 1);
    await until("it is a dead letter", async () => (await messages("dead")).length === 1, 60_000);
    assert.equal(workers.ended, 5);
    await add([JSON.stringify(job("good"))]);
    await until("the next is answered", async () => (await results()).length === 1);
  });

  it("finishes what it has in hand on SIGTERM, leaves the rest, and exits with 0", async () => {
    await add(Array.from({ length: 200 }, (_, i) => JSON.stringify(job(`job-${i}`))));
    await using worker = start();
    await until("jobs are done", async () => (await results()).length >= 20);
    worker.process.kill("SIGTERM");
    assert.deepEqual(await worker.exit, { code: 0, signal: null }, worker.output);
    const left = (await messages("jobs")).length;
    assert(left > 0);
    assert.equal((await results()).length + left, 200);
    assert.deepEqual((await inspect("jobs")).inflight, []);
  });
});
