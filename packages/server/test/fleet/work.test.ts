// `neuron-blip work` with a real Redis: what becomes of jobs where processes, Redis or the jobs themselves fail.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../service/helpers/child.js";
import { figure, tally } from "../service/helpers/figures.js";
import { picture } from "../service/helpers/pictures.js";
import { freePort, portOf, until } from "../service/helpers/ports.js";
import { root } from "../service/helpers/server-process.js";
import { base64, Jobs, questions } from "./helpers/jobs.js";
import { RedisServer } from "./helpers/redis.js";
import { Supervisor, startWorker } from "./helpers/worker-process.js";

describe("neuron-blip work", function () {
  this.timeout(150_000);
  let redis: RedisServer;
  let jobs: Jobs;
  let queue: string;
  beforeEach(async () => {
    redis = await RedisServer.start();
    jobs = await Jobs.open(redis);
    queue = `${redis.url}/pictures`;
  });
  afterEach(async () => {
    await jobs?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
  });

  /** Checks that each of the jobs has its one result. */
  async function assertEachOnce(count: number): Promise<void> {
    const completed = await jobs.queue.getCompleted();
    assert.equal(new Set(completed.map(({ id }) => id)).size, count);
    for (const { returnvalue } of completed) {
      assert.deepEqual(
        returnvalue.answers.map(({ question }: { question: string }) => question),
        questions,
      );
    }
    assert.deepEqual(
      [...jobs.completions.values()].filter((times) => times !== 1),
      [],
    );
  }

  it("gives each job exactly one result where workers are killed under load", async () => {
    await jobs.addMany(400);
    await using workers = new Supervisor({ queue }, 2);
    for (const [i, share] of [0.1, 0.3, 0.5, 0.7].entries()) {
      await until("jobs are done", async () => (await jobs.completed()) >= share * 400);
      workers.kill(i % 2);
    }
    await jobs.settled(400);
    figure("killed under load", `${workers.ended} workers; 400 of 400 jobs have one result each`);
    assert(workers.ended >= 4);
    await assertEachOnce(400);
  });

  it("gives each job exactly one result where Redis is killed and started again", async () => {
    await jobs.addMany(300);
    await using _workers = new Supervisor({ queue }, 1);
    for (const share of [0.2, 0.6]) {
      await until("jobs are done", async () => (await jobs.completed()) >= share * 300);
      await redis.kill();
      await redis.restart();
    }
    await jobs.settled(300);
    figure("Redis killed twice", "300 of 300 jobs have one result each");
    await assertEachOnce(300);
  });

  it("sends a job that kills its process to the dead letters, and none of its neighbours; a redrive takes it up", async () => {
    for (let i = 0; i < 12; i++) await jobs.add(`before-${i}`);
    await jobs.add("poison", { questions: ["is there poison?"] });
    for (let i = 0; i < 12; i++) await jobs.add(`after-${i}`);
    {
      await using workers = new Supervisor({ queue, args: ["--concurrency", "4"], preloads: ["poison.mjs"] }, 1);
      await jobs.settled(24, 1);
      figure("a poison job", `ended ${workers.ended} processes; 24 of 24 neighbours answered`);
      assert.equal(workers.ended, 3);
    }
    const { failedReason } = await jobs.get("poison");
    assert.match(failedReason, /The process died 3 times/);
    // As after an upgrade that mends the fault.
    await using redriving = startWorker({ queue, args: ["--redrive", "--concurrency", "1"] });
    assert.deepEqual(await redriving.exit, { code: 0, signal: null }, redriving.output);
    await jobs.settled(25, 0);
    assert.equal((await jobs.get("poison")).returnvalue.answers.length, 1);
  });

  it("gives a dead letter that is taken up one chance more, and its process' death ends that", async () => {
    await jobs.add("poison", { questions: ["is there poison?"] });
    await using workers = new Supervisor({ queue, preloads: ["poison.mjs"] }, 1);
    await jobs.settled(0, 1);
    const before = workers.ended;
    await using redriving = startWorker({ queue, args: ["--redrive"], preloads: ["poison.mjs"] });
    await redriving.exit;
    await jobs.settled(0, 1);
    assert(workers.ended - before <= 1);
  });

  it("serves 20 cameras that send more than it can do, each with its newest frame", async () => {
    const cameras = Array.from({ length: 20 }, (_, i) => `camera-${i}`);
    const asked = Array.from({ length: 16 }, (_, i) => questions[i % 2]);
    await using _workers = new Supervisor({ queue, args: ["--latest-by", "camera", "--concurrency", "2"] }, 1);
    let frames = 0;
    for (let round = 0; round < 40; round++) {
      await Promise.all(cameras.map((camera) => jobs.add(`${camera}-${round}`, { camera, questions: asked })));
      frames += cameras.length;
      const least = frames - 300;
      await until("some are done", async () => (await jobs.completed()) >= least);
    }
    await jobs.settled(frames);
    const all = await jobs.queue.getCompleted();
    const answered = all.filter(({ returnvalue }) => !returnvalue.superseded);
    const counts = cameras.map((name) => answered.filter(({ data }) => data.camera === name).length);
    figure("answered frames of 40, by camera", tally(counts));
    assert(Math.min(...counts) >= 2, "a camera starves");
    assert(answered.length < frames, "it could do all: nothing was shown");
    const last = await Promise.all(cameras.map((camera) => jobs.get(`${camera}-39`)));
    for (const { returnvalue } of last) assert.equal(returnvalue.answers.length, 16);
  });

  it("sends bad input to the dead letters at once, and reads files only inside --files-root", async () => {
    const directory = mkdtempSync(join(tmpdir(), "neuron-blip-files-"));
    try {
      const files = join(directory, "root");
      mkdirSync(join(files, "sub"), { recursive: true });
      writeFileSync(join(files, "sub", "in.png"), picture);
      writeFileSync(join(directory, "secret.png"), picture);
      symlinkSync(join(directory, "secret.png"), join(files, "out.png"));
      symlinkSync(directory, join(files, "up"));
      symlinkSync(join("sub", "in.png"), join(files, "link.png"));
      const good = ["sub/in.png", "link.png", join(files, "sub", "in.png"), "sub/../sub/in.png"];
      const bad: [object, RegExp][] = [
        ...["out.png", "up/secret.png", "../secret.png", join(directory, "secret.png"), "sub", "none.png", "a\0b"].map(
          (file): [object, RegExp] => [{ picture: { file } }, /INVALID_INPUT/],
        ),
        [{ picture: { base64: "AAAA" } }, /INVALID_IMAGE/],
        [{ picture: { url: "http://127.0.0.1/a.png" } }, /URL_NOT_ALLOWED/],
        [{ picture: { url: "file:///etc/passwd" } }, /INVALID_INPUT/],
        [{ picture: base64 }, /job\/picture must be \{ url \}/],
        [{ questions: ["x".repeat(513)] }, /INPUT_TOO_LONG/],
        [{ options: { numBeams: 1000 } }, /job\/options\/numBeams/],
      ];
      await Promise.all(good.map((file, i) => jobs.add(`good-${i}`, { picture: { file } })));
      await Promise.all(bad.map(([data], i) => jobs.add(`bad-${i}`, data)));
      await using _workers = new Supervisor({ queue, args: ["--files-root", files] }, 1);
      await jobs.settled(good.length, bad.length);
      for (const [i, [, reason]] of bad.entries()) {
        const { failedReason, attemptsMade } = await jobs.get(`bad-${i}`);
        assert.match(failedReason, reason);
        assert.equal(attemptsMade, 1);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("tries again what may go well another time, four times in all, whatever its producer has set", async () => {
    await jobs.add("unreachable", { picture: { url: "http://neuron-blip.invalid/a.png" } });
    await using _workers = new Supervisor({ queue, args: ["--allow-url", "neuron-blip.invalid"] }, 1);
    await jobs.settled(0, 1);
    const { attemptsMade, failedReason } = await jobs.get("unreachable");
    assert.equal(attemptsMade, 4);
    assert.match(failedReason, /PICTURE_UNREACHABLE/);
  });

  it("lets a job wait for a host that is away, which costs no attempt, and not for a picture that is not there", async () => {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    await jobs.add("away", { picture: { url: `http://${address}/a.png` } });
    await using worker = startWorker({ queue, args: ["--allow-url", address] });
    await until(`the job waits (${worker.output})`, async () => {
      const { attemptsStarted } = await jobs.get("away");
      return attemptsStarted >= 2 && (await jobs.queue.getDelayedCount()) === 1;
    });
    const pictures = createServer(({ url }, response) => response.writeHead(url === "/a.png" ? 200 : 404).end(picture));
    try {
      await once(pictures.listen(port, "127.0.0.1"), "listening");
      await jobs.settled(1);
      assert.equal((await jobs.get("away")).attemptsMade, 1);
      await jobs.add("none", { picture: { url: `http://${address}/none.png` } });
      await jobs.settled(1, 1);
      assert.equal((await jobs.get("none")).attemptsMade, 1);
    } finally {
      pictures.close();
    }
  });

  it("does the jobs of examples/add-jobs.mjs, which waits for the results", async () => {
    const pictures = createServer((_, response) => response.end(picture)).listen(0, "127.0.0.1");
    try {
      await once(pictures, "listening");
      const address = `127.0.0.1:${portOf(pictures)}`;
      await using _workers = new Supervisor({ queue, args: ["--allow-url", address] }, 1);
      const urls = [`http://${address}/a.png`, "http://127.0.0.2/b.png"];
      const args = [join(root, "examples", "add-jobs.mjs"), redis.url, "pictures", ...urls];
      await using producer = new Child(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
      assert.deepEqual(await producer.exit, { code: 0, signal: null }, producer.output);
      assert.match(producer.output, /a\.png: \S+\n/);
      assert.match(producer.output, /b\.png: .*URL_NOT_ALLOWED/);
    } finally {
      pictures.close();
    }
  });

  it("refuses a model that matches, rather than a job after the other", async () => {
    await jobs.add("waiting");
    const model = join(root, "test", "fixtures", "parity", "retrieval-checkpoint", "model");
    await using worker = startWorker({ queue, model });
    assert.deepEqual(await worker.exit, { code: 2, signal: null }, worker.output);
    assert.match(worker.output, /this one matches/);
    assert.equal(await jobs.queue.getWaitingCount(), 1);
  });

  it("tells alternatives where they are asked for, and takes a picture as a data: URL", async () => {
    const url = `data:image/png;base64,${base64}`;
    await jobs.add("several", { picture: { url }, options: { numBeams: 3, numReturnSequences: 2 } });
    await using _worker = startWorker({ queue });
    await jobs.settled(1);
    for (const { alternatives } of (await jobs.get("several")).returnvalue.answers)
      assert.equal(alternatives.length, 1);
  });

  it("waits for a Redis that is away when it starts", async () => {
    await redis.kill();
    await using worker = startWorker({ queue });
    await until("it says so", () => worker.output.includes("Redis cannot be reached"));
    await redis.restart();
    await jobs.add("first");
    await jobs.settled(1);
  });

  it("finishes what it has in hand on SIGTERM, leaves the rest, and exits with 0", async () => {
    await jobs.addMany(200);
    await using worker = startWorker({ queue, args: ["--concurrency", "4"] });
    await until("jobs are done", async () => (await jobs.completed()) >= 20);
    worker.process.kill("SIGTERM");
    assert.deepEqual(await worker.exit, { code: 0, signal: null }, worker.output);
    const { active = 0, waiting = 0, completed = 0, failed = 0 } = await jobs.queue.getJobCounts();
    assert.deepEqual([active, failed, waiting + completed], [0, 0, 200]);
    assert(waiting > 0);
  });
});
