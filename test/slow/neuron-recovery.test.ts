// What becomes of calls for each status that a NeuronCore fails with; test/torch/neuron/recovery.test.ts tests the rest.
import assert from "node:assert/strict";
import { NeuronHardware } from "../children/neuron-hardware.ts";
import { NeuronProcess, tokensOf } from "../children/neuron-process.ts";
import { neuronModel, one, prepareQuestions, two } from "../children/neuron-recovery.ts";
import { DIFFERENT } from "../children/neuron-work.mjs";
import { fixture } from "../helpers.ts";

const TIMEOUT = 5;

describe("a NeuronCore that fails, on a stand-in", () => {
  const { expected, answersAll } = prepareQuestions();

  for (const status of [1, 3, 4, 101, 1004, 1006, 1200, 1201, 1202, 1203, 1204, 1205, TIMEOUT]) {
    it(`loses no call to status ${status} under load, and brings the replica back`, async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware, { NEURON_RT_EXEC_TIMEOUT: "0.05" });
      await host.load(neuronModel, two);
      if (status === TIMEOUT) hardware.hang(0, 60_000);
      else hardware.fail(0, status, 1);
      await answersAll(host);
      await host.until("replicaReady");
      assert.deepEqual(
        host.events.map(({ event, replica }) => [event, replica]),
        ["replicaFailed", "replicaReloading", "replicaReady"].map((event) => [event, 0]),
      );
      const [failed, reloading] = host.events;
      assert.deepEqual([failed?.error?.code, failed?.error?.status], ["NEURON_EXECUTION", status]);
      assert.deepEqual([reloading?.attempt, reloading?.delayMs], [1, 10]);
      const before = hardware.events().length;
      await answersAll(host, 4);
      const cores = hardware
        .events()
        .slice(before)
        .map(({ core }) => core);
      assert.deepEqual(new Set(cores), new Set([0, 1]), "both are in use again");
      await host.end();
    });
  }

  it("loses no call where every call in flight on it fails", async () => {
    using hardware = new NeuronHardware({ latencyMs: 5 });
    await using host = new NeuronProcess(hardware);
    // So that there are as many calls at once: pictures that are looked at once for several are few.
    await host.load(neuronModel, { ...two, callsInFlight: 4, pictureCache: false, maxReloadAttempts: 1000 });
    // Nor does it come back while any of them may still be to come.
    hardware.failLoads(1, 1202);
    hardware.fail(1, 1202);
    await answersAll(host);
    await host.until("replicaFailed");
    hardware.mend();
    await host.until("replicaReady");
    assert.equal(host.events.filter(({ event }) => event === "replicaFailed").length, 1, "told once");
  });

  it("is out for one call where both fail at once, and calls that come meanwhile wait", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, two);
    for (const core of [0, 1]) hardware.fail(core, 1202, 1);
    // The one's retry may meet the other's failure; no other call may.
    const outcomes = await host.ask(2 * DIFFERENT);
    const lost = outcomes.filter(({ error }) => error);
    assert(lost.length <= 1, `${lost.length} lost`);
    for (const { error } of lost) assert.deepEqual([error?.code, error?.status], ["NEURON_EXECUTION", 1202]);
    outcomes.forEach(({ tokenIds }, n) => {
      if (tokenIds) assert.deepEqual(tokenIds, expected[n]);
    });
    await host.until("replicaReady", 2);
    await answersAll(host);
    for (const replica of [0, 1]) {
      assert.deepEqual(
        host.events.filter((event) => event.replica === replica).map(({ event }) => event),
        ["replicaFailed", "replicaReloading", "replicaReady"],
      );
    }
  });

  it("is loaded again with growing pauses until that succeeds, while calls go on", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, two);
    hardware.failLoads(0, 1202, 3);
    hardware.fail(0, 1202, 1);
    await answersAll(host);
    await host.until("replicaReady");
    const pauses = host.events.filter(({ event }) => event === "replicaReloading");
    assert.deepEqual(
      pauses.map(({ attempt, delayMs }) => [attempt, delayMs]),
      [
        [1, 10],
        [2, 20],
        [3, 40],
        [4, 80],
      ],
    );
    await answersAll(host);
  });

  for (const status of [1002, 1003]) {
    it(`is not out of use after status ${status}, which is the error of one call`, async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      await host.load(neuronModel, two);
      const loads = () => hardware.events().filter(({ event }) => event === "load").length;
      const before = loads();
      hardware.fail(0, status, 1);
      const outcomes = await host.ask(DIFFERENT);
      const failed = outcomes.flatMap(({ error }) => (error ? [[error.code, error.status]] : []));
      assert.deepEqual(failed, [["NEURON_EXECUTION", status]]);
      await answersAll(host);
      assert.deepEqual(host.events, []);
      assert.equal(loads(), before);
    });
  }

  for (const status of [7, 15, 1005, 1100]) {
    it(`loses no call, and no replica, to status ${status}, which says that it is busy`, async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      await host.load(neuronModel, one);
      await host.look(3);
      const whole = await host.stream(3);
      hardware.fail(0, status, 2);
      await answersAll(host);
      // Also in the middle of a stream, which has given tokens already.
      hardware.fail(0, status, 1);
      assert.deepEqual(await host.stream(3), whole);
      assert.deepEqual(host.events, []);
    });
  }

  it("is given up where it cannot be loaded again, and its calls go on with the other", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 1, maxReloadAttempts: 3 });
    hardware.failLoads(0, 1202);
    hardware.fail(0, TIMEOUT, 1);
    await answersAll(host);
    await host.until("replicaGivenUp");
    hardware.mend();
    const before = hardware.events().length;
    await answersAll(host, 4);
    assert.deepEqual(
      new Set(
        hardware
          .events()
          .slice(before)
          .map(({ core }) => core),
      ),
      new Set([1]),
    );
    const attempts = [1, 2, 3].map((attempt) => `replicaReloading ${attempt}`);
    assert.deepEqual(
      host.events.map(({ event, attempt }) => (attempt === undefined ? event : `${event} ${attempt}`)),
      ["replicaFailed", ...attempts, "replicaGivenUp"],
    );
    assert.deepEqual(host.events.at(-1)?.error?.status, 1202);
    await host.dispose();
    await host.end();
  });

  it("is given up when it is out for the third time with an error of its hardware, though it loads each time", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 1 });
    for (const [i, status] of [1202, 1202, 101].entries()) {
      hardware.fail(0, status, 1);
      await answersAll(host);
      if (i < 2) await host.until("replicaReady", i + 1);
    }
    await host.until("replicaGivenUp");
    await answersAll(host, 4);
    assert.equal(host.events.filter(({ event }) => event === "restartRequired").length, 0);
  });

  it("is loaded again after a first status 1004, and presumed broken from the second on", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 1 });
    // The first does not count: three more are needed.
    for (let time = 1; time <= 4; time++) {
      hardware.fail(0, 1004, 1);
      await answersAll(host);
      if (time < 4) await host.until("replicaReady", time);
    }
    await host.until("replicaGivenUp");
    assert.equal(host.events.filter(({ event }) => event === "replicaReady").length, 3);
  });

  for (const status of [6, 13, 14, 1206]) {
    it(`ends the use of the process with status ${status}: an event, and an error for every call`, async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      await host.load(neuronModel, two);
      hardware.fail(0, status, 1);
      const outcomes = await host.ask(DIFFERENT);
      assert(outcomes.some(({ error }) => error?.code === "NEURON_RESTART_REQUIRED" && error.status === status));
      for (const { error } of outcomes) assert([undefined, "NEURON_RESTART_REQUIRED"].includes(error?.code));
      await host.until("restartRequired");
      assert.deepEqual(
        host.events.map(({ event }) => event),
        ["replicaFailed", "restartRequired"],
        "nothing is loaded again",
      );
      for (const { error } of await host.ask(2)) {
        assert.deepEqual([error?.code, error?.status], ["NEURON_RESTART_REQUIRED", status]);
        assert.match(error?.message ?? "", /start another process/);
      }
      // What needs no NeuronCore goes on.
      await host.load(fixture("neuron/cpu"), {}, "cpu");
      assert.deepEqual(tokensOf(await host.ask(2, "cpu")), expected.slice(0, 2));
      await host.dispose();
      await host.end();
    });
  }

  it("does not keep a process alive that has nothing else to do", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 600_000 });
    hardware.fail(0, 1202, 1);
    await answersAll(host);
    await host.until("replicaReloading");
    await host.end();
  });
});
