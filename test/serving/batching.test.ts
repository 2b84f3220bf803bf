// Calls that come together run together: by themselves, with models that are none, and through NeuronBlip.
import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type EncodedImage, NeuronBlip, NeuronBlipError, NeuronBlipForQuestionAnswering } from "neuron-blip";
import { BatchQueue } from "../../dist/serving/batch-queue.js";
import type { Job, RunOptions, Ticket } from "../../dist/serving/job.js";
import { Replicas } from "../../dist/serving/replicas.js";
import { assertAlike, fails, fixture } from "../helpers.js";

class CoreFailure extends Error {}

class FakeModel implements AsyncDisposable {
  readonly name: number;
  constructor(name: number) {
    this.name = name;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}

type FakeJob = Job<FakeModel, string, string>;

/** Values, or where the call is settled outcomes. */
type Results = readonly (string | PromiseSettledResult<string>)[];

/** A queue for replicas that work when they are told to. */
class Bench {
  readonly replicas: Replicas<FakeModel>;
  readonly queue: BatchQueue<FakeModel>;
  /** Each batch that began, as "replica: rows". */
  readonly batches: string[] = [];
  readonly #ends: ((error?: unknown) => void)[] = [];

  constructor(replicas = 1, maxDelayMs = 0, batchesInHand = 1) {
    const models = Array.from({ length: replicas }, (_, i) => new FakeModel(i));
    this.replicas = new Replicas(models, {
      delayMs: 1,
      maxAttempts: 5,
      reload: async (replica) => new FakeModel(replica),
      failureOf: (error) => (error instanceof CoreFailure ? "reload" : undefined),
      emit: () => {},
    });
    this.queue = new BatchQueue(this.replicas, { batchesInHand, maxDelayMs, maxLength: 100 });
  }

  job(job: Partial<FakeJob> = {}): FakeJob {
    return {
      key: "k",
      limit: 4,
      work: async (model, rows) => {
        this.batches.push(`${model.name}: ${rows.join(" ")}`);
        await new Promise<void>((resolve, reject) => {
          this.#ends.push((error) => (error === undefined ? resolve() : reject(error)));
        });
        return rows.map((row) => row.toUpperCase());
      },
      ...job,
    };
  }

  run(rows: string, job = this.job(), { settled = false, ...options }: RunOptions = {}): Promise<Results> {
    const given = rows.split("");
    return settled ? this.queue.run(given, job, { ...options, settled }) : this.queue.run(given, job, options);
  }

  admit<T>(call: (ticket: Ticket) => Promise<T>): Promise<T> {
    return this.queue.admit({ task: "answer" }, call);
  }

  /** Lets batches begin, as the event loop turns. */
  async begun(): Promise<string[]> {
    for (let i = 0; i < 4; i++) await nextTurn();
    return this.batches;
  }

  /** Ends the batch that began first. */
  async end(error?: unknown): Promise<string[]> {
    this.#ends.shift()?.(error);
    return this.begun();
  }
}

const values = (results: Results) =>
  results
    .map((result) => {
      if (typeof result === "string") return result;
      return result.status === "fulfilled" ? result.value : String(result.reason.message);
    })
    .join("");

describe("the queue for replicas", () => {
  it("runs what comes in one turn together, up to the limit, and later what has waited meanwhile", async () => {
    const bench = new Bench();
    const first = ["a", "b", "c"].map((row) => bench.run(row));
    assert.deepEqual(await bench.begun(), ["0: a b c"]);
    const later = ["d", "e", "f", "g", "h"].map((row) => bench.run(row));
    assert.deepEqual(await bench.begun(), ["0: a b c"], "the replica is busy");
    assert.deepEqual(await bench.end(), ["0: a b c", "0: d e f g"]);
    assert.deepEqual((await Promise.all(first)).map(values), ["A", "B", "C"]);
    assert.deepEqual((await bench.end()).at(-1), "0: h");
    await bench.end();
    assert.deepEqual((await Promise.all(later)).map(values), ["D", "E", "F", "G", "H"]);
  });

  it("gives a call its results in order, whatever batches they ran in", async () => {
    const bench = new Bench(2);
    const long = bench.run("abcdefghij");
    assert.deepEqual(await bench.begun(), ["0: a b c d", "1: e f g h"]);
    for (let i = 0; i < 3; i++) await bench.end();
    assert.equal(values(await long), "ABCDEFGHIJ");
    assert.deepEqual(await bench.queue.run([], bench.job()), []);
  });

  it("serves the row that waits longest first, with later ones of its kind, and those of other kinds in turn", async () => {
    const bench = new Bench();
    const other = bench.job({ key: "other" });
    const alone = bench.job({ key: undefined });
    const all = [bench.run("a"), bench.run("x", other), bench.run("b"), bench.run("p", alone), bench.run("q", alone)];
    all.push(bench.run("y", other), bench.run("c"));
    for (let i = 0; i < 4; i++) await (i === 0 ? bench.begun() : bench.end());
    assert.deepEqual(bench.batches, ["0: a b c", "0: x y", "0: p", "0: q"]);
    await bench.end();
    await Promise.all(all);
  });

  it("lets nobody starve: a kind that keeps coming waits behind one that came before", async () => {
    const bench = new Bench();
    const all = [bench.run("abcd")];
    await bench.begun();
    all.push(bench.run("efgh"), bench.run("x", bench.job({ key: "other" })), bench.run("ijkl"));
    await bench.end();
    all.push(bench.run("mnop"));
    await bench.end();
    assert.deepEqual(bench.batches, ["0: a b c d", "0: e f g h", "0: x"]);
    for (let i = 0; i < 3; i++) await bench.end();
    await Promise.all(all);
  });

  it("splits a batch among idle replicas where that pays", async () => {
    const bench = new Bench(2);
    const halves = bench.run("abcd", bench.job({ splits: true }));
    assert.deepEqual(await bench.begun(), ["0: a b", "1: c d"]);
    await bench.end();
    await bench.end();
    assert.equal(values(await halves), "ABCD");
  });

  it("gives a replica as many batches as it may have in hand", async () => {
    const bench = new Bench(1, 0, 2);
    const all = bench.run("abc", bench.job({ limit: 1 }));
    assert.deepEqual(await bench.begun(), ["0: a", "0: b"]);
    assert.deepEqual((await bench.end()).at(-1), "0: c");
    await bench.end();
    await bench.end();
    await all;
  });

  it("waits for others within the delay, and not where the batch is full or nobody can join", async () => {
    const day = 24 * 60 * 60 * 1000;
    const bench = new Bench(3, day);
    const all = [bench.run("abc")];
    const alone = bench.run("x", bench.job({ key: undefined }));
    assert.deepEqual(await bench.begun(), ["0: x"]);
    all.push(bench.run("d"));
    assert.deepEqual(await bench.begun(), ["0: x", "1: a b c d"]);
    const late = bench.run("e");
    await bench.end();
    await bench.end();
    await Promise.all([...all, alone]);
    bench.queue.close();
    await assert.rejects(late, { code: "DISPOSED" });

    const brief = new Bench(1, 1);
    const waited = brief.run("z");
    while (brief.batches.length === 0) await nextTurn();
    await brief.end();
    assert.equal(values(await waited), "Z");
  });

  it("waits briefly for calls that were admitted and have no rows yet, and for none that will be later", async () => {
    const bench = new Bench();
    const never = new AbortController();
    const waits = bench.admit(
      () => new Promise<void>((resolve) => never.signal.addEventListener("abort", () => resolve())),
    );
    let arrive = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const first = bench.admit((ticket) => bench.run("a", bench.job(), { ticket }));
    const alone = bench.admit((ticket) => bench.run("x", bench.job({ key: undefined }), { ticket }));
    const second = bench.admit(async (ticket) => {
      await arrival;
      return bench.run("b", bench.job(), { ticket });
    });
    assert.deepEqual(await bench.begun(), ["0: x"], "what nobody can join waits for nobody");
    arrive();
    await bench.end();
    // One call never comes: it is waited for within some ms.
    while (bench.batches.length < 2) await nextTurn();
    assert.deepEqual(bench.batches, ["0: x", "0: a b"]);
    await bench.end();
    never.abort();
    await waits;
    const slow = bench.admit(async (ticket) => {
      ticket.isComing = false;
      await nextTurn();
      return bench.run("s", bench.job({ key: "other" }), { ticket });
    });
    const third = bench.admit((ticket) => bench.run("c", bench.job(), { ticket }));
    assert.deepEqual((await bench.begun()).at(-1), "0: c", "where no other call is about to come there is no delay");
    await bench.end();
    await bench.end();
    await Promise.all([first, second, third, alone, slow]);
    assert.equal(bench.queue.waiting, 0);
  });

  it("lets rows that wait for others be passed over once: a call that is long in coming holds nobody up", async () => {
    const bench = new Bench();
    let arrive = () => {};
    const slow = bench.admit(
      () =>
        new Promise<void>((resolve) => {
          arrive = resolve;
        }),
    );
    const waits = bench.admit((ticket) => bench.run("a", bench.job(), { ticket }));
    const alone = ["x", "y", "z"].map((row) => bench.run(row, bench.job({ key: undefined })));
    assert.deepEqual(await bench.begun(), ["0: x"]);
    assert.deepEqual(await bench.end(), ["0: x", "0: a"]);
    for (let i = 0; i < 3; i++) await bench.end();
    arrive();
    await Promise.all([slow, waits, ...alone]);
  });

  it("fails only the row at fault: where a batch fails, each runs again alone", async () => {
    const bench = new Bench();
    const work: FakeJob["work"] = async (_, rows) => {
      bench.batches.push(rows.join(" "));
      if (rows.includes("b")) throw new Error("!");
      return rows;
    };
    const job = bench.job({ work });
    const [a, b, c] = await Promise.allSettled([bench.run("a", job), bench.run("b", job), bench.run("c", job)]);
    assert.deepEqual(bench.batches, ["a b c", "a", "b", "c"]);
    assert.deepEqual([a?.status, b?.status, c?.status], ["fulfilled", "rejected", "fulfilled"]);
    assert.equal(values(await bench.run("abc", job, { settled: true })), "a!c");
    await assert.rejects(bench.run("abc", job), /!/);
    assert.equal(values(await bench.run("d", job)), "d", "the next works");
  });

  it("does not run again rows whose work calls the caller's functions", async () => {
    const bench = new Bench();
    let runs = 0;
    const work: FakeJob["work"] = async () => {
      runs++;
      throw new Error("of the caller's");
    };
    await assert.rejects(bench.run("ab", bench.job({ key: undefined, callsBack: true, work })), /of the caller's/);
    assert.equal(runs, 1);
  });

  it("gives a batch whose replica failed to another, whole", async () => {
    const bench = new Bench(2);
    const all = [bench.run("a"), bench.run("b")];
    await bench.begun();
    assert.deepEqual(await bench.end(new CoreFailure()), ["0: a b", "1: a b"]);
    await bench.end();
    assert.deepEqual((await Promise.all(all)).map(values), ["A", "B"]);
  });

  it("withdraws a waiting call at once when it is aborted", async () => {
    const bench = new Bench();
    const stop = new AbortController();
    const first = bench.run("a");
    await bench.begun();
    const gone = bench.run("xy", bench.job(), { signal: stop.signal });
    const stays = bench.run("b");
    stop.abort("enough");
    await assert.rejects(gone, (error: NeuronBlipError) => error.code === "ABORTED" && error.cause === "enough");
    assert.deepEqual(await bench.end(), ["0: a", "0: b"]);
    await bench.end();
    await Promise.all([first, stays]);
    await assert.rejects(bench.run("c", bench.job(), { signal: stop.signal }), { code: "ABORTED" });
  });

  it("rejects an aborted call at once while its batch goes on for the others, and stops one that nobody wants", async () => {
    const bench = new Bench();
    const signals: AbortSignal[] = [];
    const job = bench.job();
    const watched: FakeJob = {
      ...job,
      work: (model, rows, signal) => {
        signals.push(signal);
        return job.work(model, rows, signal);
      },
    };
    const [one, other] = [new AbortController(), new AbortController()];
    const a = bench.run("a", watched, { signal: one.signal });
    const b = bench.run("b", watched, { signal: other.signal });
    await bench.begun();
    one.abort();
    await assert.rejects(a, { code: "ABORTED" });
    assert.equal(signals[0]?.aborted, false);
    await bench.end();
    assert.equal(values(await b), "B");
    const c = bench.run("c", watched, { signal: AbortSignal.any([other.signal]) });
    await bench.begun();
    assert.equal(signals[1], signals[0], "a signal that was not aborted is the next batch's");
    other.abort();
    await assert.rejects(c, { code: "ABORTED" });
    assert.equal(signals[1]?.aborted, true);
    await bench.end();
    const d = bench.run("d", watched);
    await bench.begun();
    assert.equal(signals[2]?.aborted, false);
    await bench.end();
    assert.equal(values(await d), "D");
  });

  it("ends an aborted call whose work calls the caller's functions when the work has ended", async () => {
    const bench = new Bench();
    const stop = new AbortController();
    let ended = false;
    const job = bench.job({ key: undefined, callsBack: true });
    const call = bench.run("a", job, { signal: stop.signal }).catch((error) => {
      ended = true;
      return error.code;
    });
    await bench.begun();
    stop.abort();
    await bench.begun();
    assert.equal(ended, false);
    await bench.end();
    assert.equal(await call, "ABORTED");
  });

  it("holds what rows need until their batch has ended, though their calls have", async () => {
    const bench = new Bench();
    const held: string[] = [];
    const hold = (row: string) => {
      held.push(`+${row}`);
      return () => void held.push(`-${row}`);
    };
    const stop = new AbortController();
    const a = bench.run("a", bench.job({ hold }), { signal: stop.signal });
    const b = bench.run("b", bench.job({ hold }));
    await bench.begun();
    stop.abort();
    await assert.rejects(a, { code: "ABORTED" });
    assert.deepEqual(held, ["+a", "+b"]);
    await bench.end();
    await b;
    assert.deepEqual(held, ["+a", "+b", "-a", "-b"]);
  });

  it("refuses what waits and what comes after it was closed", async () => {
    const bench = new Bench();
    const running = bench.run("a");
    await bench.begun();
    const waiting = bench.run("b");
    bench.queue.close();
    await assert.rejects(waiting, { code: "DISPOSED" });
    await assert.rejects(bench.run("c"), { code: "DISPOSED" });
    await bench.end();
    assert.equal(values(await running), "A");
  });
});

describe("concurrent calls", () => {
  const model = fixture("parity/small-batch-2/model");
  const cat = fixture("pictures/chelsea.png");
  const coffee = fixture("pictures/coffee.png");
  const short = { maxNewTokens: 4 };
  let blip: NeuronBlip;
  let seen: EncodedImage;

  before(async () => {
    blip = await NeuronBlip.fromPretrained(model, { threads: 1 });
    seen = await blip.encodeImage(cat);
  });
  after(() => blip.dispose());

  /** The rows of each batch that the model was given during a call. */
  async function batchesOf(call: () => Promise<unknown>): Promise<number[]> {
    const { generateRows } = NeuronBlipForQuestionAnswering.prototype;
    const batches: number[] = [];
    NeuronBlipForQuestionAnswering.prototype.generateRows = function (texts, ...rest) {
      batches.push(texts.length);
      return generateRows.call(this, texts, ...rest);
    };
    try {
      await call();
    } finally {
      NeuronBlipForQuestionAnswering.prototype.generateRows = generateRows;
    }
    return batches;
  }

  it("run in the compiled batches, with the answers of calls by themselves, questions of any length", async () => {
    const questions = ["dog?", "what is it?", "is there a boat near the river, or not?", "is it day?"];
    const alone: unknown[] = [];
    for (const question of questions) alone.push(await blip.answer(seen, question, short));
    let together: unknown[] = [];
    const batches = await batchesOf(async () => {
      together = await Promise.all(questions.map((question) => blip.answer(seen, question, short)));
    });
    assert.deepEqual(batches, [2, 2]);
    assertAlike(together, alone);
  });

  it("run by themselves where their options differ or are functions", async () => {
    const ask = (options: object) => blip.answer(seen, "dog?", { ...short, ...options });
    const pairs: [object, object, number[]][] = [
      [{ numBeams: 2 }, { numBeams: 2 }, [2]],
      [{ numBeams: 2, lengthPenalty: 1 }, { lengthPenalty: 1, numBeams: 2 }, [2]],
      // The same number, kept otherwise by V8.
      [{ lengthPenalty: 1 }, JSON.parse('{"lengthPenalty": 1.0}'), [2]],
      [{ repetitionPenalty: 2 }, { repetitionPenalty: new Float64Array([2])[0] }, [2]],
      [{ sequenceBias: [[[5], 1]] }, { sequenceBias: [[[5], 1]] }, [2]],
      [{ sequenceBias: [[[5], 1]] }, { sequenceBias: [[[5], 2]] }, [1, 1]],
      [{ numBeams: 2 }, { numBeams: 3 }, [1, 1]],
      [{ stoppingCriteria: [() => false] }, { stoppingCriteria: [() => false] }, [1, 1]],
      [{ doSample: true, seed: 1 }, { doSample: true, seed: 1 }, [2]],
      [{ doSample: true }, { doSample: true }, [1, 1]],
      [{ questionMask: "ones" }, { questionMask: "ones" }, [2]],
    ];
    for (const [one, other, expected] of pairs) {
      const batches = await batchesOf(() => Promise.all([ask(one), ask(other)]));
      assert.deepEqual(batches, expected, JSON.stringify([one, other]));
    }
  });

  it("draw as they would alone", async () => {
    const options = { doSample: true, seed: 7, topK: 0, temperature: 2, minNewTokens: 4, maxNewTokens: 4 };
    const ask = (question: string) => blip.answer(seen, question, options);
    const questions = ["dog?", "what is it?", "dog?"];
    const alone: unknown[] = [];
    for (const question of questions) alone.push(await ask(question));
    assertAlike(await Promise.all(questions.map(ask)), alone);
    const unseeded = await Promise.all(
      questions.map((q) => blip.answer(seen, q, { ...options, seed: undefined as never })),
    );
    assert.equal(new Set(unseeded.map(({ tokenIds }) => tokenIds.join())).size, 3, "each its own draws");
  });

  it("keep the padding of their own call with questionMask ones", async () => {
    const ask = () =>
      Promise.all([
        blip.answer(seen, ["dog?", "is there a boat near the river?"], { ...short, questionMask: "ones" }),
        blip.answer(seen, "dog?", { ...short, questionMask: "ones" }),
      ]);
    const [[padded], plain] = await ask();
    assertAlike(plain, await blip.answer(seen, "dog?", { ...short, questionMask: "ones" }));
    assert.notDeepEqual(padded?.sumLogProbability, plain.sumLogProbability);
  });

  it("are not changed by what becomes of the options' object while they wait", async () => {
    const options = { minNewTokens: 4, maxNewTokens: 4 };
    const call = blip.answer(seen, "dog?", options);
    options.maxNewTokens = 1;
    options.minNewTokens = 1;
    assert.equal((await call).tokenIds.length, 5);
  });

  it("are refused with QUEUE_FULL beyond maxQueueLength; a long list is one call; the next works", async () => {
    await using small = await NeuronBlip.fromPretrained(model, { threads: 1, maxQueueLength: 2 });
    const asked = Array.from({ length: 5 }, () => small.answer(cat, "dog?", short));
    const outcomes = await Promise.allSettled(asked);
    for (const outcome of outcomes.slice(2)) {
      assert(outcome.status === "rejected");
      fails("QUEUE_FULL", /2 calls.*maxQueueLength/)(outcome.reason);
    }
    assert.deepEqual(
      outcomes.slice(0, 2).map(({ status }) => status),
      ["fulfilled", "fulfilled"],
    );
    const many = Array.from({ length: 20 }, () => "dog?");
    assert.equal((await small.answer(cat, many, short)).length, 20);
    assert.equal((await small.answer([cat, coffee], "dog?", short)).length, 2);
  });

  it("may be so many for each replica", async () => {
    await using two = await NeuronBlip.fromPretrained(model, {
      threads: 1,
      numModels: 2,
      maxQueueLength: { perReplica: 3 },
    });
    assert.equal(two.stats().maxQueueLength, 6);
  });

  it("free their place in the line when they are aborted", async () => {
    await using small = await NeuronBlip.fromPretrained(model, { threads: 1, maxQueueLength: 1 });
    const stop = new AbortController();
    const gone = small.answer(cat, "dog?", { ...short, signal: stop.signal });
    stop.abort();
    await assert.rejects(gone, fails("ABORTED"));
    assert.equal(typeof (await small.answer(cat, "dog?", short)).answer, "string");
  });

  it("go on when one of the batch is aborted or fails, and dispose waits for them", async () => {
    const own = await NeuronBlip.fromPretrained(model, { threads: 1 });
    const mine = await own.encodeImage(cat);
    const expected = await blip.answer(seen, "dog?", short);
    const stop = new AbortController();
    const { generateRows } = NeuronBlipForQuestionAnswering.prototype;
    NeuronBlipForQuestionAnswering.prototype.generateRows = async function (texts, ...rest) {
      stop.abort();
      if (texts.length > 1) throw new NeuronBlipError("EXECUTION_FAILED", "made up");
      return generateRows.call(this, texts, ...rest);
    };
    try {
      const one = own.answer(mine, "dog?", short);
      const two = own.answer(mine, "dog?", { ...short, signal: stop.signal });
      const disposed = own.dispose();
      await assert.rejects(two, fails("ABORTED"));
      assertAlike(await one, expected);
      await disposed;
    } finally {
      NeuronBlipForQuestionAnswering.prototype.generateRows = generateRows;
    }
  });

  it("of matching run together too", async () => {
    await using matching = await NeuronBlip.fromPretrained(fixture("parity/retrieval/model"), { threads: 1 });
    const texts = ["a cat", "a cup of coffee on a table", "a boat"];
    const alone = [];
    for (const text of texts) alone.push(await matching.match(cat, text));
    const together = await Promise.all(texts.map((text) => matching.match(cat, text)));
    for (const [i, { score }] of together.entries()) assert(Math.abs(score - (alone[i]?.score as number)) < 1e-6);
  });

  it("of captions run together too, each with its own prompt or none", async () => {
    for (const name of ["captions", "captions-checkpoint"]) {
      await using describing = await NeuronBlip.fromPretrained(fixture(`parity/${name}/model`), { threads: 1 });
      using picture = await describing.encodeImage(cat);
      const prompts = [undefined, "a picture of", undefined, "the cup"];
      const call = (prompt?: string) => describing.caption(picture, { maxNewTokens: 4, ...(prompt && { prompt }) });
      const alone: number[][] = [];
      for (const prompt of prompts) alone.push((await call(prompt)).tokenIds);
      const together = await Promise.all(prompts.map(call));
      assert.deepEqual(
        together.map(({ tokenIds }) => tokenIds),
        alone,
      );
    }
  });

  it("refuse options that are none", async () => {
    for (const options of [
      { maxBatchSize: 0 },
      { maxBatchDelayMs: -1 },
      { maxBatchDelayMs: Number.NaN },
      { maxQueueLength: 0 },
      { maxQueueLength: {} },
      { maxQueueLength: { perReplica: 0 } },
      { pictureCache: 5 },
      { pictureCache: null },
      { pictureCache: { maxBytes: -1 } },
      { pictureCache: { maxAge: 5 } },
    ]) {
      const load = NeuronBlip.fromPretrained(model, options as object);
      await assert.rejects(load, fails("INVALID_INPUT"), JSON.stringify(options));
    }
  });
});
