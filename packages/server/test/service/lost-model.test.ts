// A server whose NeuronCores are lost, on the stand-in for the Neuron runtime.
import assert from "node:assert/strict";
import { NeuronHardware } from "../../../../test/children/neuron-hardware.js";
import { neuronEnvironment, prepareStandIns, removeCache } from "../../../../test/children/neuron-process.js";
import { neuronModel } from "../../../../test/children/neuron-recovery.js";
import { assertAnswers, assertProblem, post } from "./helpers/asking.js";
import { ServerProcess } from "./helpers/server-process.js";

describe("a server whose model needs another process", () => {
  before(prepareStandIns);
  after(removeCache);

  it("is not live or ready any more, says so, and ends with 1, for its supervisor to start another", async () => {
    using hardware = new NeuronHardware({ cores: 1 });
    await using server = await ServerProcess.start({
      model: neuronModel,
      args: ["--drain-delay", "1000"],
      env: neuronEnvironment(hardware),
    });
    await assertAnswers(server.url);
    const statusOf = async (path: string) => (await fetch(`${server.url}${path}`)).status;
    assert.deepEqual([await statusOf("/livez"), await statusOf("/readyz")], [200, 200]);
    hardware.fail(0, 6);
    hardware.failLoads(0, 6);
    await assertProblem(await post(server.url), 503, "NEURON_RESTART_REQUIRED");
    assert.deepEqual([await statusOf("/livez"), await statusOf("/readyz")], [503, 503]);
    assert.deepEqual(await server.exit, { code: 1, signal: null });
    assert.match(server.output, /the process has to be started again/);
  });
});
