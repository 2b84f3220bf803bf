// examples/nats-worker.mjs with a real NATS server: what becomes of jobs where workers or the jobs themselves fail.
import assert from "node:assert/strict";
import { type JetStreamManager, jetstream, jetstreamManager, type StoredMsg } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Child } from "../service/helpers/child.js";
import { figure } from "../service/helpers/figures.js";
import { until } from "../service/helpers/ports.js";
import { startExample } from "./helpers/example.js";
import { base64, questions } from "./helpers/jobs.js";
import { NatsServer } from "./helpers/nats.js";
import { Supervisor } from "./helpers/worker-process.js";

const job = (id: string, more: object = {}) => JSON.stringify({ id, picture: { base64 }, questions, ...more });

describe("examples/nats-worker.mjs", function () {
  this.timeout(120_000);
  let server: NatsServer;
  let connection: NatsConnection;
  let manager: JetStreamManager;
  beforeEach(async () => {
    server = await NatsServer.start();
    connection = await connect({ servers: server.url });
    manager = await jetstreamManager(connection);
  });
  afterEach(async () => {
    await connection?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const start = (preloads: readonly string[] = []): Child =>
    startExample("nats-worker.mjs", { args: [server.url], env: { ACK_WAIT_MS: "2000" }, preloads });

  /** Waits until a worker has made the streams. */
  const streamsAreThere = () =>
    until("the streams are there", async () => {
      const names = [];
      for await (const { config } of manager.streams.list()) names.push(config.name);
      return names.length === 3;
    });

  async function add(jobs: readonly string[]): Promise<void> {
    for (const data of jobs) await jetstream(connection).publish("pictures.jobs", data);
  }

  async function count(stream: string): Promise<number> {
    return (await manager.streams.info(stream)).state.messages;
  }

  async function messages(stream: string): Promise<StoredMsg[]> {
    const { state } = await manager.streams.info(stream);
    const found = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await manager.streams.getMessage(stream, { seq });
      if (message !== null) found.push(message);
    }
    return found;
  }

  it("gives each job its one result where workers are killed under load", async () => {
    const ids = Array.from({ length: 200 }, (_, i) => `job-${i}`);
    await using workers = new Supervisor(start, 2);
    await streamsAreThere();
    await add(ids.map((id) => job(id)));
    for (const [i, share] of [0.1, 0.3, 0.5, 0.7].entries()) {
      await until("jobs are done", async () => (await count("RESULTS")) >= share * 200);
      workers.kill(i % 2);
    }
    await until("all jobs have left the queue", async () => (await count("JOBS")) === 0, 60_000);
    const results = await messages("RESULTS");
    figure("NATS: killed under load", `${workers.ended} workers; ${results.length} of 200 jobs have one result each`);
    assert.deepEqual(results.map(({ subject }) => subject).sort(), ids.map((id) => `pictures.results.${id}`).sort());
    for (const message of results) {
      const { id, answers } = message.json<{ id: string; answers: { question: string }[] }>();
      assert.equal(message.subject, `pictures.results.${id}`);
      assert.deepEqual(
        answers.map(({ question }) => question),
        questions,
      );
    }
    assert.equal(await count("DEAD_LETTERS"), 0);
  });

  it("sends bad input to the dead letters at once, with the reason, and the rest is answered", async () => {
    await using _worker = start();
    await streamsAreThere();
    const bad: [string, RegExp][] = [
      ["no JSON", /no JSON/],
      ["null", /no id/],
      [job("a.b"), /no id/],
      [job("a", { picture: { url: "http://127.0.0.1/a.png" } }), /no picture\.base64/],
      [job("b", { picture: { base64: "AAAA" } }), /picture/],
      [job("c", { questions: [1] }), /no list/],
    ];
    await add([...bad.map(([data]) => data), job("good")]);
    await until("all jobs have left the queue", async () => (await count("JOBS")) === 0);
    assert.deepEqual(
      (await messages("RESULTS")).map(({ subject }) => subject),
      ["pictures.results.good"],
    );
    const dead = await messages("DEAD_LETTERS");
    assert.equal(dead.length, bad.length);
    for (const [data, reason] of bad) {
      const letter = dead.find((message) => message.string() === data) ?? assert.fail(`${data} is no dead letter`);
      assert.match(letter.header.get("reason"), reason);
    }
  });

  it("sends a job that keeps ending its process to the dead letters after five attempts", async () => {
    await using workers = new Supervisor(() => start(["poison.mjs"]), 1);
    await streamsAreThere();
    await add([job("poison", { questions: ["is there poison?"] })]);
    await until("it is a dead letter", async () => (await count("DEAD_LETTERS")) === 1, 60_000);
    assert.equal(workers.ended, 5);
    await add([job("good")]);
    await until("the next is answered", async () => (await count("RESULTS")) === 1);
    await until("no job is left", async () => (await count("JOBS")) === 0);
  });

  it("finishes what it has in hand on SIGTERM, leaves the rest, and exits with 0", async () => {
    await using worker = start();
    await streamsAreThere();
    await add(Array.from({ length: 200 }, (_, i) => job(`job-${i}`)));
    await until("jobs are done", async () => (await count("RESULTS")) >= 20);
    worker.process.kill("SIGTERM");
    assert.deepEqual(await worker.exit, { code: 0, signal: null }, worker.output);
    const left = await count("JOBS");
    assert(left > 0);
    assert.equal((await count("RESULTS")) + left, 200);
    assert.equal((await manager.consumers.info("JOBS", "workers")).num_ack_pending, 0);
  });
});
