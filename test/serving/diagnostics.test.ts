// What the library tells of its work: `stats`, and the messages of node:diagnostics_channel.
import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DiagnosticsMessages, NeuronBlip, onDiagnostics } from "neuron-blip";
import { decoderThreads } from "../../dist/images/load-image.js";
import { BatchQueue } from "../../dist/serving/batch-queue.js";
import type { Job } from "../../dist/serving/job.js";
import { Replicas } from "../../dist/serving/replicas.js";
import { demo, demoModel, demoQuestions, fails, fixture } from "../helpers.js";

const [first, second] = demoQuestions as [(typeof demoQuestions)[number], (typeof demoQuestions)[number]];
const picture = join(demo, first.picture);
const otherPicture = join(demo, demoQuestions.find((one) => one.picture !== first.picture)?.picture ?? "");

type Names = keyof DiagnosticsMessages;
type Heard = { [Name in Names]: DiagnosticsMessages[Name][] };

/** Listens to every channel while something is done. */
async function listening(during: () => Promise<unknown>): Promise<Heard> {
  const heard: Heard = {
    "neuron-blip:call:start": [],
    "neuron-blip:call:end": [],
    "neuron-blip:picture": [],
    "neuron-blip:stage": [],
    "neuron-blip:batch": [],
    "neuron-blip:replica": [],
  };
  const listen = <Name extends Names>(name: Name) =>
    onDiagnostics(name, (message) => {
      (heard[name] as DiagnosticsMessages[Name][]).push(message);
    });
  const stops = (Object.keys(heard) as Names[]).map((name) => listen(name));
  try {
    await during();
  } finally {
    for (const stop of stops) stop();
  }
  return heard;
}

const callsOf = (calls: readonly { callId: string; rows: number }[]) =>
  Object.fromEntries(calls.map(({ callId, rows }) => [callId, rows]));

describe("what a model tells of its work", () => {
  let blip: NeuronBlip;
  beforeEach(async () => {
    blip = await NeuronBlip.fromPretrained(demoModel);
  });
  afterEach(() => blip.dispose());

  it("is in its stats: calls, batches, tokens, the cache, the replicas", async () => {
    assert.deepEqual(blip.stats(), {
      callsWaiting: 0,
      callsRunning: 0,
      maxQueueLength: 1000,
      replicas: { inUse: 1, reloading: 0, givenUp: 0 },
      replicaFailures: 0,
      lastBatchEndedAt: undefined,
      batches: 0,
      rows: 0,
      generatedTokens: 0,
      pictureCache: { hits: 0, misses: 0, pictures: 0, bytes: 0 },
    });
    const before = performance.now();
    const asked = blip.answer(picture, first.question);
    assert.equal(blip.stats().callsWaiting, 1, "from the moment of the call on");
    const { tokenLogProbabilities } = await asked;
    const stats = blip.stats();
    assert.deepEqual([stats.callsWaiting, stats.callsRunning], [0, 0]);
    assert.deepEqual([stats.batches, stats.rows], [2, 2], "a batch of the picture, and one of the question");
    assert.equal(stats.generatedTokens, tokenLogProbabilities.length);
    assert((stats.lastBatchEndedAt ?? 0) >= before);
    const { hits, misses, pictures, bytes } = stats.pictureCache;
    assert.deepEqual([hits, misses, pictures], [0, 1, 1]);
    assert(bytes > 0);

    await blip.answer(readFileSync(picture), first.question);
    assert.equal(blip.stats().pictureCache.hits, 1, "by its content");
    await assert.rejects(blip.answer(Buffer.from("no picture"), first.question), fails("INVALID_IMAGE"));
    assert.deepEqual([blip.stats().callsWaiting, blip.stats().callsRunning], [0, 0], "after an error");
  });

  it("names each call, with its picture, its stages in order and its batches", async () => {
    const heard = await listening(() => blip.answer(picture, first.question, { callId: "mine" }));
    const [start, ...others] = heard["neuron-blip:call:start"];
    assert.equal(others.length, 0);
    assert.deepEqual([start?.callId, start?.task], ["mine", "answer"]);
    const [end] = heard["neuron-blip:call:end"];
    assert.equal(end?.callId, "mine");
    assert(!("error" in (end ?? {})));
    assert.deepEqual(heard["neuron-blip:picture"], [{ callId: "mine", bytes: statSync(picture).size }]);
    const stages = heard["neuron-blip:stage"];
    assert.deepEqual(
      stages.map(({ stage, calls }) => [stage, callsOf(calls)]),
      ["decode", "vision", "encoder", "decoder"].map((stage) => [stage, { mine: 1 }]),
    );
    for (const { startedAt, durationMs } of stages) {
      assert(startedAt >= (start?.startedAt ?? Number.NaN) && durationMs >= 0);
      assert(startedAt + durationMs <= (end?.startedAt ?? 0) + (end?.durationMs ?? 0));
    }
    assert.deepEqual(
      heard["neuron-blip:batch"].map(({ kind, rows, calls }) => [kind, rows, callsOf(calls)]),
      [
        ["vision", 1, { mine: 1 }],
        ["texts", 1, { mine: 1 }],
      ],
    );
    for (const { calls } of heard["neuron-blip:batch"]) assert((calls[0]?.queueWaitMs ?? -1) >= 0);
  });

  it("says whose the rows of a batch are that calls share", async () => {
    const [one, other] = [await blip.encodeImage(picture), await blip.encodeImage(otherPicture)];
    const heard = await listening(() =>
      Promise.all([
        blip.answer(one, [first.question, second.question], { callId: "two" }),
        blip.answer(other, first.question, { callId: "one" }),
      ]),
    );
    assert.deepEqual(
      heard["neuron-blip:batch"].map(({ kind, rows, calls }) => [kind, rows, callsOf(calls)]),
      [["texts", 3, { two: 2, one: 1 }]],
    );
    assert.deepEqual(
      heard["neuron-blip:stage"].map(({ stage, calls }) => [stage, callsOf(calls)]),
      [
        ["encoder", { two: 2, one: 1 }],
        ["decoder", { two: 2, one: 1 }],
      ],
    );
  });

  it("has ids of its own where a call gives none, and tells of errors", async () => {
    const heard = await listening(async () => {
      await blip.rank(picture, first.question, ["red", "blue"]);
      await assert.rejects(blip.answer(Buffer.from("no picture"), first.question), fails("INVALID_IMAGE"));
      await blip.encodeImage(picture, { callId: "kept" });
    });
    const ends = heard["neuron-blip:call:end"];
    assert.deepEqual(
      ends.map(({ task }) => task),
      ["rank", "answer", "encodeImage"],
    );
    assert.equal(new Set(ends.map(({ callId }) => callId)).size, 3);
    assert(fails("INVALID_IMAGE")(ends[1]?.error));
    const decodings = heard["neuron-blip:stage"].filter(({ stage }) => stage === "decode");
    assert.deepEqual(
      decodings.map(({ calls, error }) => [calls[0]?.callId, error === undefined]),
      [
        [ends[0]?.callId, true],
        [ends[1]?.callId, false],
      ],
    );
  });

  it("reaches who listens while a stream goes on", async () => {
    const heard = await listening(async () => {
      for await (const _ of blip.stream(picture, first.question, { callId: "stream" })) {
      }
    });
    assert.deepEqual(
      heard["neuron-blip:call:end"].map(({ callId, task }) => [callId, task]),
      [["stream", "answer"]],
    );
  });

  it("has a callId that is a string", async () => {
    const wrong = { callId: 7 } as unknown as { callId: string };
    await assert.rejects(blip.answer(picture, first.question, wrong), fails("INVALID_INPUT", /callId/));
  });
});

describe("a loaded model", () => {
  it("tells of the stages of captions and matches, too", async () => {
    const stagesOf = async (model: string, ask: (blip: NeuronBlip) => Promise<unknown>) => {
      await using blip = await NeuronBlip.fromPretrained(fixture(`parity/${model}/model`));
      const heard = await listening(() => ask(blip));
      assert.deepEqual(
        heard["neuron-blip:call:start"].map(({ callId }) => callId),
        ["x"],
      );
      return heard["neuron-blip:stage"].map(({ stage }) => stage);
    };
    assert.deepEqual(await stagesOf("captions-checkpoint", (blip) => blip.caption(picture, { callId: "x" })), [
      "decode",
      "vision",
      "decoder",
    ]);
    assert.deepEqual(await stagesOf("retrieval-checkpoint", (blip) => blip.match(picture, "a dog", { callId: "x" })), [
      "decode",
      "vision",
      "encoder",
    ]);
    assert.deepEqual(
      await stagesOf("retrieval-checkpoint", (blip) => blip.similarity([picture], ["a dog"], { callId: "x" })),
      ["decode", "vision", "encoder"],
    );
  });

  it("decodes on as many threads as it was asked for, where that is a number that makes sense", async () => {
    const before = decoderThreads();
    await using blip = await NeuronBlip.fromPretrained(demoModel, { decoderThreads: before + 1 });
    assert.equal(decoderThreads(), before + 1);
    assert.equal((await blip.answer(picture, first.question)).answer, first.answer);
    await using _other = await NeuronBlip.fromPretrained(demoModel);
    assert.equal(decoderThreads(), before + 1, "who does not ask changes nothing");
    for (const decoderThreads of [0, 1.5, 65]) {
      await assert.rejects(
        NeuronBlip.fromPretrained(demoModel, { decoderThreads }),
        fails("INVALID_INPUT", /decoderThreads/),
      );
    }
  });
});

describe("the replicas' states", () => {
  class Model implements AsyncDisposable {
    async [Symbol.asyncDispose](): Promise<void> {}
  }
  class CoreFailure extends Error {}

  it("count those in use, those loaded again and those given up, and failed batches count as done", async () => {
    let reload: (model: Model) => void = () => {};
    const replicas = new Replicas([new Model(), new Model()], {
      delayMs: 0,
      maxAttempts: 5,
      reload: () => new Promise((resolve) => (reload = resolve)),
      failureOf: (error) => (error instanceof CoreFailure ? "reload" : undefined),
      emit: () => {},
    });
    const queue = new BatchQueue(replicas, { maxLength: 10 });
    let tries = 0;
    const job: Job<Model, string, string> = {
      key: "k",
      limit: 4,
      work: async (_, rows) => {
        if (tries++ === 0) throw new CoreFailure();
        return rows;
      },
    };
    assert.deepEqual(replicas.states, { inUse: 2, reloading: 0, givenUp: 0 });
    await queue.run(["a", "b"], job);
    assert.deepEqual(replicas.states, { inUse: 1, reloading: 1, givenUp: 0 });
    assert.equal(replicas.failures, 1);
    assert.deepEqual([queue.done.batches, queue.done.rows], [1, 2]);
    await assert.rejects(
      queue.run(["c"], { ...job, work: () => Promise.reject(new Error("the row's own")) }),
      /the row's own/,
    );
    assert.equal(queue.done.batches, 2);
    reload(new Model());
    await replicas.dispose();
  });
});
