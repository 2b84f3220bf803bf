// What `neuron-blip work` decides by itself; what needs a Redis is in test/fleet.
import assert from "node:assert/strict";
import fs, { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlipError } from "neuron-blip";
import { Registry } from "prom-client";
import { readWorkArguments } from "../dist/cli/work-arguments.js";
import { fateOf } from "../dist/jobs/fate.js";
import { JobFiles } from "../dist/jobs/job-files.js";
import { jobOf, keyOf } from "../dist/jobs/job-form.js";
import { JobMetrics } from "../dist/jobs/job-metrics.js";
import { readQueueAddress } from "../dist/jobs/queues.js";
import { SUPERSEDED, Turns } from "../dist/jobs/turns.js";
import { ByteBudget } from "../dist/limits/byte-budget.js";
import { Problem } from "../dist/problem.js";

/** Work that ends when it is told to. */
function held(name: string, log: string[]) {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const work = async () => {
    log.push(name);
    await ended;
    return name;
  };
  return { work, end: () => end() };
}

const NOW = { alone: false };

describe("turns", () => {
  it("are given in order, so many at a time", async () => {
    const log: string[] = [];
    const turns = new Turns(2);
    const works = ["a", "b", "c", "d"].map((name) => held(name, log));
    const all = works.map(({ work }) => turns.run(NOW, work));
    assert.deepEqual(log, ["a", "b"]);
    works[1]?.end();
    assert.equal(await all[1], "b");
    assert.deepEqual(log, ["a", "b", "c"]);
    for (const { end } of works) end();
    assert.deepEqual(await Promise.all(all), ["a", "b", "c", "d"]);
  });

  it("leave a suspect alone: it waits for what runs, and what comes after waits for it", async () => {
    const log: string[] = [];
    const turns = new Turns(4);
    const works = ["a", "suspect", "b"].map((name) => held(name, log));
    const all = works.map(({ work }, i) => turns.run({ alone: i === 1 }, work));
    assert.deepEqual(log, ["a"]);
    works[0]?.end();
    await all[0];
    assert.deepEqual(log, ["a", "suspect"]);
    works[1]?.end();
    await all[1];
    assert.deepEqual(log, ["a", "suspect", "b"]);
    works[2]?.end();
    await all[2];
  });

  it("go on after work that failed", async () => {
    const turns = new Turns(1);
    const failing = turns.run(NOW, () => Promise.reject(new Error("no")));
    const next = turns.run(NOW, async () => "next");
    await assert.rejects(failing, /no/);
    assert.equal(await next, "next");
  });

  it("are one for each key, in the oldest's place and with the newest's work", async () => {
    const log: string[] = [];
    const turns = new Turns(1);
    const first = held("first", log);
    const running = turns.run(NOW, first.work);
    const frame = (key: string, timestamp: number) =>
      turns.run({ alone: false, latestBy: { key, timestamp } }, async () => {
        log.push(`${key}${timestamp}`);
        return `${key}${timestamp}`;
      });
    const frames = [frame("a", 1), frame("b", 1), frame("a", 3), frame("a", 2)];
    first.end();
    await running;
    assert.deepEqual(await Promise.all(frames), [SUPERSEDED, "b1", "a3", SUPERSEDED]);
    assert.deepEqual(log, ["first", "a3", "b1"]);
  });
});

describe("a job that failed", () => {
  it("is dead, tried again or waits, by what it failed with", () => {
    const fates = (error: unknown) => fateOf(error).fate;
    for (const code of ["INVALID_INPUT", "INVALID_IMAGE", "INPUT_TOO_LONG", "IMAGE_TOO_LARGE"] as const) {
      assert.equal(fates(new NeuronBlipError(code, "")), "dead");
    }
    for (const code of ["QUEUE_FULL", "DISPOSED", "OUT_OF_MEMORY", "NEURON_RESTART_REQUIRED"] as const) {
      assert.equal(fates(new NeuronBlipError(code, "")), "wait");
    }
    assert.equal(fates(new Problem("URL_NOT_ALLOWED", "")), "dead");
    assert.equal(fates(new Problem("TIMEOUT", "")), "again");
    assert.equal(fates(new NeuronBlipError("EXECUTION_FAILED", "")), "again");
    assert.equal(fates(new TypeError("a fault")), "again");
    const aborted = new NeuronBlipError("ABORTED", "", { cause: new Problem("TIMEOUT", "late") });
    assert.equal(fateOf(aborted).problem.code, "TIMEOUT");
    assert.equal(fates(aborted), "again");
  });
});

describe("a job whose picture did not come", () => {
  const fateBy = (cause: unknown) => fateOf(new Problem("PICTURE_UNREACHABLE", "", { cause })).fate;

  it("waits for a host that is away for the moment", () => {
    for (const code of ["ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT", "UND_ERR_SOCKET"]) {
      assert.equal(fateBy({ code }), "wait", code);
    }
    for (const statusCode of [408, 429, 502, 503, 504]) assert.equal(fateBy({ statusCode }), "wait");
  });

  it("is dead where the host has no such picture, or is none that may be asked", () => {
    for (const statusCode of [301, 400, 403, 404, 410]) assert.equal(fateBy({ statusCode }), "dead");
    assert.equal(fateBy({ code: "ENOTPUBLIC" }), "dead");
    assert.equal(fateBy(undefined), "dead");
  });

  it("is tried again where the fault may pass or stay", () => {
    for (const cause of [{ statusCode: 500 }, { code: "ENOTFOUND" }, { code: "CERT_HAS_EXPIRED" }, { code: "EIO" }]) {
      assert.equal(fateBy(cause), "again");
    }
  });
});

describe("a job's file", () => {
  const share = new ByteBudget(1000).share();
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "neuron-blip-files-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("is read inside the root alone, and counts as what is in hand", async () => {
    mkdirSync(join(directory, "root"));
    writeFileSync(join(directory, "root", "in"), "in");
    writeFileSync(join(directory, "out"), "out");
    symlinkSync(join(directory, "out"), join(directory, "root", "link"));
    const files = new JobFiles(join(directory, "root"), 100);
    const budget = new ByteBudget(100);
    assert.equal(String(await files.read("in", budget.share())), "in");
    assert.equal(budget.taken, 2);
    for (const path of ["link", "../out", join(directory, "out"), ".", "none", "a\0b"]) {
      await assert.rejects(files.read(path, share), { code: "INVALID_INPUT" }, path);
    }
  });

  it("is not read where a directory on its way becomes a link out of the root meanwhile", async () => {
    const [root, other] = [join(directory, "root"), join(directory, "other")];
    for (const path of [join(root, "sub"), other]) {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, "a"), path);
    }
    const { open } = fs.promises;
    const swap = () => {
      renameSync(join(root, "sub"), join(root, "was"));
      symlinkSync(other, join(root, "sub"));
    };
    const swapBack = () => {
      unlinkSync(join(root, "sub"));
      renameSync(join(root, "was"), join(root, "sub"));
    };
    for (const isBackInTime of [false, true]) {
      fs.promises.open = async (...args) => {
        swap();
        const file = await open(...args);
        if (isBackInTime) swapBack();
        return file;
      };
      syncBuiltinESMExports();
      try {
        await assert.rejects(new JobFiles(root, 1000).read("sub/a", share), { code: "INVALID_INPUT" });
      } finally {
        fs.promises.open = open;
        syncBuiltinESMExports();
      }
      if (!isBackInTime) swapBack();
    }
    assert.equal(String(await new JobFiles(root, 1000).read("sub/a", share)), join(root, "sub"));
  });

  it("is none that is too large, and none without a root", async () => {
    writeFileSync(join(directory, "large"), "x".repeat(101));
    const files = new JobFiles(directory, 100);
    await assert.rejects(files.read("large", share), { code: "BODY_TOO_LARGE" });
    await assert.rejects(new JobFiles(undefined, 100).read("large", share), { code: "INVALID_INPUT" });
  });
});

describe("the metrics of jobs", () => {
  it("are told without the queue's where Redis is away, which would not answer", async () => {
    const registry = new Registry();
    let isAway = false;
    const getJobCounts = () => (isAway ? new Promise<never>(() => {}) : Promise.resolve({ waiting: 7 }));
    const metrics = new JobMetrics(registry, { getJobCounts }, () => isAway);
    metrics.count("dead");
    const both = await registry.metrics();
    assert.match(both, /neuron_blip_queue_jobs\{state="waiting"\} 7/);
    isAway = true;
    const own = await registry.metrics();
    assert.match(own, /neuron_blip_jobs_total\{outcome="dead"\} 1/);
    assert.doesNotMatch(own, /neuron_blip_queue_jobs\{/);
  });
});

describe("a job's data", () => {
  it("is checked, and says what is wrong", () => {
    const picture = { base64: "AAAA" };
    assert.deepEqual(jobOf({ picture, camera: "x" }), { picture, camera: "x" });
    for (const [data, message] of [
      [undefined, /job must be object/],
      [{}, /job must have required property 'picture'/],
      [{ picture: "AAAA" }, /job\/picture must be \{ url \}, \{ file \} or \{ base64 \}/],
      [{ picture: { ...picture, url: "http://a" } }, /job\/picture must be/],
      [{ picture, questions: "what?" }, /job\/questions must be array/],
      [{ picture, questions: [""] }, /job\/questions\/0/],
      [{ picture, options: { numBeams: 17 } }, /job\/options\/numBeams must be <= 16/],
      [{ picture, options: { streamer: 1 } }, /job\/options/],
    ] as [unknown, RegExp][]) {
      assert.throws(
        () => jobOf(data),
        (error: Error) => error instanceof Problem && message.test(error.message),
      );
    }
  });

  it("has a key of its own fields alone", () => {
    assert.equal(keyOf({ camera: "door" }, "camera"), "door");
    assert.equal(keyOf({ camera: 7 }, "camera"), "7");
    for (const data of [{}, { camera: {} }, null, "camera"]) assert.equal(keyOf(data, "camera"), undefined);
    assert.equal(keyOf({}, "constructor"), undefined);
  });
});

describe("the arguments of work", () => {
  it("name a queue by a URL", () => {
    assert.deepEqual(readQueueAddress("redis://localhost:6379/pictures"), {
      server: "redis://localhost:6379",
      name: "pictures",
    });
    assert.deepEqual(readQueueAddress("rediss://me:secret@redis.example/2/my-queue"), {
      server: "rediss://me:secret@redis.example/2",
      name: "my-queue",
    });
    for (const text of [
      "",
      "pictures",
      "redis://localhost",
      "http://localhost/pictures",
      "redis:///a",
      "redis://h/a/b/c",
    ]) {
      assert.equal(readQueueAddress(text), undefined);
    }
  });

  it("say what is wrong", () => {
    const queue = ["--queue", "redis://localhost/pictures"];
    assert.equal(readWorkArguments(["m", ...queue])?.concurrency, 8);
    for (const [args, message] of [
      [[], /takes one model/],
      [["m"], /needs --queue/],
      [["m", "--queue", "redis://localhost"], /needs --queue/],
      [["m", ...queue, "--concurrency", "0"], /--concurrency takes a whole number of 1 or more/],
      [["m", ...queue, "--loud"], /--loud/],
    ] as [string[], RegExp][]) {
      assert.throws(() => readWorkArguments(args), message);
    }
  });
});
