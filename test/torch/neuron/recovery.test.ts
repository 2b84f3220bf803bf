// What becomes of calls where a NeuronCore fails, on the stand-in for the Neuron runtime.
import assert from "node:assert/strict";
import { NeuronHardware } from "../../children/neuron-hardware.ts";
import { NeuronProcess, type Outcome, runToEnd, tokensOf } from "../../children/neuron-process.ts";
import { neuronModel, one, prepareQuestions, two } from "../../children/neuron-recovery.ts";
import { DIFFERENT } from "../../children/neuron-work.mjs";

describe("a NeuronCore that fails, on a stand-in", () => {
  const { expected, answersAll } = prepareQuestions();

  it("is waited for where it is the only one", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, one);
    hardware.failLoads(0, 1202, 2);
    hardware.fail(0, 1202, 1);
    await answersAll(host);
    assert.deepEqual(
      host.events.map(({ event }) => event).filter((event) => event !== "replicaReloading"),
      ["replicaFailed", "replicaReady"],
    );
  });

  it("fails calls with its status where none comes back, and answers after it is mended", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, maxReloadAttempts: 1000 });
    for (const core of [0, 1]) {
      hardware.fail(core, 1202);
      hardware.failLoads(core, 1201);
    }
    const statusesOf = (outcomes: Outcome[]) => outcomes.map(({ error }) => [error?.code, error?.status]);
    for (const [code, status] of statusesOf(await host.ask(6))) {
      assert.equal(code, "NEURON_EXECUTION");
      assert([1201, 1202].includes(status as number), `${status}`);
    }
    assert.deepEqual(statusesOf(await host.ask(2)), Array(2).fill(["NEURON_EXECUTION", 1201]), "no replica is left");
    hardware.mend();
    await host.until("replicaReady", 2);
    await answersAll(host);
    await host.dispose();
    await host.end();
  });

  it("has the process say that another is needed where all are given up, by an event and by every later call", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 1, maxReloadAttempts: 2 });
    for (const core of [0, 1]) {
      hardware.fail(core, 1202);
      hardware.failLoads(core, 1201);
    }
    await host.ask(6);
    await host.until("restartRequired");
    assert.deepEqual(
      host.events.flatMap(({ event, replica }) => (event === "replicaGivenUp" ? [replica] : [])).sort(),
      [0, 1],
    );
    assert.equal(host.events.at(-1)?.event, "restartRequired");
    hardware.mend();
    for (const { error } of await host.ask(4)) {
      assert.deepEqual([error?.code, error?.status], ["NEURON_RESTART_REQUIRED", 1201]);
      assert.match(error?.message ?? "", /Every NeuronCore of this model was given up: start another process\. .*1201/);
    }
    await host.dispose();
    await host.end();
  });

  it("ends a stream, which has given tokens already, with the error; the next works", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, one);
    await host.look(3);
    const whole = await host.stream(3);
    assert(whole.length > 0);
    hardware.fail(0, 1202, 1);
    await assert.rejects(host.stream(3), { code: "NEURON_EXECUTION", status: 1202 });
    assert.deepEqual(await host.stream(3), whole);
  });

  it("does not hinder dispose while its replica waits to be loaded again", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 600_000 });
    hardware.fail(0, 1202, 1);
    await answersAll(host);
    await host.until("replicaReloading");
    await host.dispose();
    assert.equal(loadedParts(hardware), 0, "all is unloaded");
    const [outcome] = await host.ask(1);
    assert.equal(outcome?.error?.code, "DISPOSED");
    await host.end();
  });

  it("does not hinder dispose while its replica is being loaded again", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(neuronModel, { ...two, reloadDelayMs: 1 });
    hardware.fail(0, 1202, 1);
    const asked = host.ask(DIFFERENT);
    await host.until("replicaReloading");
    await host.dispose();
    assert.deepEqual(tokensOf(await asked), expected.slice(0, DIFFERENT));
    assert.equal(loadedParts(hardware), 0, "all is unloaded, what was being loaded too");
    await host.end();
  });

  it("keeps a process alive whose call waits for it", () => {
    using hardware = new NeuronHardware();
    hardware.fail(0, 1202, 1);
    const { status, stdout, stderr } = runToEnd(hardware, ["neuron-exit.mjs", neuronModel, "waiting"]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), expected[0]);
  });
});

/** How many parts are on cores. */
function loadedParts(hardware: NeuronHardware): number {
  const events = hardware.events().map(({ event }) => event);
  return events.filter((event) => event === "load").length - events.filter((event) => event === "unload").length;
}
