// How work is spread over replicas and what becomes of it where they fail, with models that are none.
import assert from "node:assert/strict";
import { setImmediate as delay } from "node:timers/promises";
import { NeuronBlipError } from "neuron-blip";
import { type Failure, Replicas } from "../../dist/serving/replicas.js";

/** Of a core: the replica that throws it must not be used again. */
class CoreFailure extends Error {
  readonly failure: Failure;

  constructor(message: string, failure: Failure = "reload") {
    super(message);
    this.failure = failure;
  }
}
class Disposed extends Error {}

class FakeModel implements AsyncDisposable {
  readonly name: string;
  disposed = 0;
  calls = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** Begins a call, as a real model: one that is disposed refuses it. */
  async call<T>(then: () => T | Promise<T>): Promise<T> {
    if (this.disposed > 0) throw new Disposed(this.name);
    this.calls++;
    return then();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed++;
  }
}

type Reload = (replica: number) => Promise<FakeModel>;

interface Setup {
  models: FakeModel[];
  replicas: Replicas<FakeModel>;
  /** Each event in words, in order. */
  events: string[];
  /** Resolves when that event has come. */
  until(event: string): Promise<void>;
}

function setUp(
  count: number,
  reload: Reload = async (replica) => new FakeModel(`${replica}'`),
  delayMs = 1,
  maxAttempts = 100,
): Setup {
  const models = Array.from({ length: count }, (_, i) => new FakeModel(String(i)));
  const events: string[] = [];
  let arrived: (() => void)[] = [];
  const replicas = new Replicas(models, {
    delayMs,
    reload,
    maxAttempts,
    failureOf: (error) => (error instanceof CoreFailure ? error.failure : undefined),
    emit(name, ...[event]) {
      const pause = "attempt" in event ? ` ${event.attempt} ${event.delayMs}` : "";
      events.push("replica" in event ? `${name} ${event.replica}${pause}` : name);
      for (const resume of arrived) resume();
      arrived = [];
    },
  });
  const until = async (event: string) => {
    while (!events.includes(event)) await new Promise<void>((resolve) => arrived.push(resolve));
  };
  return { models, replicas, events, until };
}

/** Work that fails on the model of that name, and otherwise returns the name of the one it ran on. */
function failingOn(...names: string[]) {
  return (model: FakeModel) =>
    model.call(() => {
      if (names.includes(model.name)) throw new CoreFailure(`${model.name} failed`);
      return model.name;
    });
}

describe("replicas", () => {
  it("give each piece of work to the one with the least in hand", async () => {
    const { replicas } = setUp(3);
    const releases: (() => void)[] = [];
    const held = (model: FakeModel) => new Promise<string>((resolve) => releases.push(() => resolve(model.name)));
    const first = [replicas.onLeastBusy(held), replicas.onLeastBusy(held), replicas.onLeastBusy(held)];
    const fourth = replicas.onLeastBusy(held);
    releases[1]?.();
    assert.equal(await first[1], "1");
    releases[2]?.();
    assert.equal(await first[2], "2");
    const next = [replicas.onLeastBusy(held), replicas.onLeastBusy(held), replicas.onLeastBusy(held)];
    for (const release of releases) release();
    assert.deepEqual(await Promise.all([first[0], fourth]), ["0", "0"]);
    assert.deepEqual(await Promise.all(next), ["1", "2", "1"]);
  });

  it("count work that failed as done", async () => {
    const { replicas } = setUp(2);
    const refuse = () => Promise.reject(new Error("of the call"));
    for (let i = 0; i < 3; i++) await assert.rejects(replicas.onLeastBusy(refuse), /of the call/);
    assert.equal(await replicas.onLeastBusy(failingOn()), "0");
  });

  it("do work once more elsewhere where its replica failed, and tell of it in order", async () => {
    const { models, replicas, events, until } = setUp(2);
    assert.equal(await replicas.onLeastBusy(failingOn("0")), "1");
    await until("replicaReady 0");
    assert.deepEqual(events, ["replicaFailed 0", "replicaReloading 0 1 1", "replicaReady 0"]);
    assert.deepEqual(
      models.map(({ disposed }) => disposed),
      [1, 0],
    );
    assert.equal(await replicas.onLeastBusy(failingOn()), "0'");
  });

  it("do not do it a third time", async () => {
    const { models, replicas } = setUp(3);
    await assert.rejects(replicas.onLeastBusy(failingOn("0", "1", "2")), /1 failed/);
    assert.equal(models[2]?.calls, 0);
  });

  it("do work only once that must not be repeated", async () => {
    const { models, replicas, until } = setUp(2);
    await assert.rejects(replicas.onLeastBusy(failingOn("0"), { retry: false }), /0 failed/);
    assert.equal(models[1]?.calls, 0);
    await until("replicaReady 0");
  });

  it("stay in use after an error that is the work's own", async () => {
    const { models, replicas, events } = setUp(1);
    await assert.rejects(
      replicas.onLeastBusy((model) => model.call(() => Promise.reject(new TypeError("of the call")))),
      TypeError,
    );
    assert.equal(await replicas.onLeastBusy(failingOn()), "0");
    assert.deepEqual([events, models[0]?.disposed], [[], 0]);
  });

  it("lose no work that comes at the moment at which one is taken out", async () => {
    // Each offset, in microtasks, between a failure and the work that comes.
    for (let offset = 0; offset < 12; offset++) {
      const { replicas } = setUp(2);
      const failing = replicas.onLeastBusy(failingOn("0"));
      const others: Promise<string>[] = [];
      for (let i = 0; i < offset; i++) await undefined;
      for (let i = 0; i < 4; i++) others.push(replicas.onLeastBusy(failingOn()));
      await Promise.all([failing, ...others]);
    }
  });

  it("are told failed once, however much work they had in hand", async () => {
    const { replicas, events, until } = setUp(2);
    const results = await Promise.all(Array.from({ length: 8 }, () => replicas.onLeastBusy(failingOn("0"))));
    assert.deepEqual(new Set(results), new Set(["1"]));
    await until("replicaReady 0");
    assert.equal(events.filter((event) => event === "replicaFailed 0").length, 1);
  });

  it("are loaded again with pauses that double", async () => {
    let attempts = 0;
    const { replicas, events, until } = setUp(1, async () => {
      attempts++;
      if (attempts < 4) throw new CoreFailure(`attempt ${attempts}`);
      return new FakeModel("successor");
    });
    assert.equal(await replicas.onLeastBusy(failingOn("0")), "successor", "it was waited for");
    await until("replicaReady 0");
    const pauses = ["1 1", "2 2", "3 4", "4 8"].map((pause) => `replicaReloading 0 ${pause}`);
    assert.deepEqual(events, ["replicaFailed 0", ...pauses, "replicaReady 0"]);
  });

  it("are waited for until each has failed four times to come back; then work fails at once", async () => {
    let attempts = 0;
    let broken = true;
    const { replicas, until } = setUp(1, async () => {
      attempts++;
      if (broken) throw new CoreFailure(`attempt ${attempts}`);
      return new FakeModel("successor");
    });
    await assert.rejects(replicas.onLeastBusy(failingOn("0")), /attempt 4/);
    await assert.rejects(replicas.onLeastBusy(failingOn()), CoreFailure);
    broken = false;
    await until("replicaReady 0");
    assert.equal(await replicas.onLeastBusy(failingOn()), "successor");
  });

  it("are waited for afresh where one fails while another has been out for long", async () => {
    const { replicas, until } = setUp(2, async (replica) => {
      if (replica === 0) throw new CoreFailure("never");
      return new FakeModel("successor");
    });
    assert.equal(await replicas.onLeastBusy(failingOn("0")), "1");
    await until("replicaReloading 0 6 32");
    assert.equal(await replicas.onLeastBusy(failingOn("1")), "successor");
    await replicas.dispose();
  });

  it("end with dispose, also where one is out: what waits gets DISPOSED, nothing is loaded any more", async () => {
    let reloads = 0;
    const reload = async () => {
      reloads++;
      return new FakeModel("successor");
    };
    const { models, replicas, until } = setUp(1, reload, 600_000);
    const waiting = replicas.onLeastBusy(failingOn("0"));
    await until("replicaReloading 0 1 600000");
    await replicas.dispose();
    await assert.rejects(waiting, { code: "DISPOSED" });
    assert.equal(reloads, 0);
    assert(models.every(({ disposed }) => disposed > 0));
  });

  it("free a successor that is being loaded when they are disposed", async () => {
    const successor = new FakeModel("successor");
    let finish = () => {};
    let began = () => {};
    const begun = new Promise<void>((resolve) => {
      began = resolve;
    });
    const { replicas } = setUp(2, () => {
      began();
      return new Promise((resolve) => {
        finish = () => resolve(successor);
      });
    });
    assert.equal(await replicas.onLeastBusy(failingOn("0")), "1");
    await begun;
    const disposing = replicas.dispose();
    finish();
    await disposing;
    assert.equal(successor.disposed, 1);
  });

  /** Work that fails on the replica of that number, whichever successor it is. */
  const breaking = (replica: string, failure: Failure) => (model: FakeModel) =>
    model.call(() => {
      if (model.name.startsWith(replica)) throw new CoreFailure(`${model.name} failed`, failure);
      return model.name;
    });

  it("are given up after as many attempts in a row as allowed; when all are, what waits and all that comes fails", async () => {
    const reload = async (replica: number) => {
      throw new CoreFailure(`${replica} does not load`);
    };
    const { replicas, events, until } = setUp(2, reload, 1, 3);
    assert.equal(await replicas.onLeastBusy(failingOn("0")), "1");
    await until("replicaGivenUp 0");
    assert.equal(events.includes("replicaReloading 0 4 8"), false);
    assert.equal(await replicas.onLeastBusy(failingOn()), "1", "the other serves");
    const waiting = replicas.onLeastBusy(failingOn("1"));
    await assert.rejects(waiting, (error: Error) => {
      assert(error instanceof NeuronBlipError && error.code === "NEURON_RESTART_REQUIRED");
      assert.match(error.message, /start another process.*1 does not load/);
      return true;
    });
    await until("restartRequired");
    assert.deepEqual(events.slice(-2), ["replicaGivenUp 1", "restartRequired"]);
    await assert.rejects(replicas.onLeastBusy(failingOn()), { code: "NEURON_RESTART_REQUIRED" });
    assert.equal(replicas.free(1), 1, "what is queued is told at once");
    await replicas.dispose();
  });

  it("that are presumed broken are given up the third time, though each attempt succeeds", async () => {
    const { replicas, events, until } = setUp(2);
    for (let time = 1; time <= 3; time++) {
      assert.equal(await replicas.onLeastBusy(breaking("0", "coreOut")), "1");
      if (time < 3) while (events.filter((event) => event === "replicaReady 0").length < time) await delay();
    }
    await until("replicaGivenUp 0");
    assert.equal(await replicas.onLeastBusy(failingOn()), "1");
  });

  it("are all lost at once where the process is, and are not loaded again", async () => {
    const { replicas, events, until } = setUp(2);
    let finish = () => {};
    const under = replicas.onLeastBusy((model) =>
      model.call(() => new Promise<string>((resolve) => (finish = () => resolve(model.name)))),
    );
    await assert.rejects(replicas.onLeastBusy(breaking("1", "processEnd")), /1 failed/);
    await until("restartRequired");
    finish();
    assert.equal(await under, "0", "what is under way ends by itself");
    await assert.rejects(replicas.onLeastBusy(failingOn()), { code: "NEURON_RESTART_REQUIRED" });
    assert.deepEqual(events, ["replicaFailed 1", "restartRequired"]);
  });
});
