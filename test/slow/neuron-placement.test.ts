// Parts on their NeuronCores, and the libraries that put them there, on the stand-in for the Neuron runtime.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NeuronBlip } from "neuron-blip";
import { native } from "../../dist/torch/native.js";
import { type NeuronEvent, NeuronHardware } from "../children/neuron-hardware.ts";
import {
  NeuronProcess,
  neuronEnvironment,
  prepareStandIns,
  removeCache,
  tokensOf,
} from "../children/neuron-process.ts";
import { ask, DIFFERENT } from "../children/neuron-work.mjs";
import { fails, fixture } from "../helpers.ts";

const neuronModel = fixture("neuron/inf2");
const neuronPart = join(neuronModel, "vision_model.pt");
const pixels = [1, 3, 32, 32];

/** Each load, in order. */
function loadsOf(events: readonly NeuronEvent[]): string[] {
  return events.flatMap(({ event, core, model }) => (event === "load" ? [`load ${core} ${model}`] : []));
}

describe("parts on their NeuronCores, on a stand-in", () => {
  let expected: number[][] = [];
  let work = "";

  before(async function () {
    await prepareStandIns.call(this);
    work = mkdtempSync(join(tmpdir(), "neuron-blip-placement-"));
    await using blip = await NeuronBlip.fromPretrained(fixture("neuron/cpu"), { threads: 1 });
    expected = await Promise.all(Array.from({ length: DIFFERENT }, (_, n) => ask(blip, n)));
  });
  after(() => {
    removeCache();
    if (work) rmSync(work, { recursive: true, force: true });
  });

  it("answers on two cores as the CPU does, each replica's parts on a core of its own", async () => {
    // Calls that take a while, so that one core does not do all the work while the other waits for its first.
    using hardware = new NeuronHardware({ latencyMs: 20 });
    await using host = new NeuronProcess(hardware);
    assert.equal(await host.load(neuronModel, { numModels: 2 }), 2);
    assert.deepEqual(tokensOf(await host.ask(DIFFERENT)), expected);
    await host.dispose();
    const events = hardware.events();
    const parts = [...new Set(events.map(({ model }) => model))];
    assert.equal(parts.length, 3);
    // In the tutorial's order: every replica's first part, then every second, each on its core at once.
    const loads = parts.flatMap((model) => [0, 1].map((core) => `load ${core} ${model}`));
    assert.deepEqual(loadsOf(events), loads);
    for (const core of [0, 1]) {
      const calls = events.filter((event) => event.event === "begin" && event.core === core);
      assert.deepEqual(new Set(calls.map(({ model }) => model)), new Set(parts), `core ${core} ran all parts`);
      for (const part of parts) {
        const of = (name: string) =>
          events.filter((e) => e.event === name && e.core === core && e.model === part).length;
        assert.equal(of("load"), of("unload"), `${part} on core ${core} is unloaded by dispose`);
      }
    }
    await host.end();
  });

  it("places parts after they are loaded where the library has no class that does it before", async () => {
    using hardware = new NeuronHardware({ latencyMs: 20 });
    await using host = new NeuronProcess(hardware, { NEURON_BLIP_STAND_IN_RUNTIME_CLASS: "0" });
    assert.equal(await host.load(neuronModel, { numModels: 2 }), 2);
    assert.deepEqual(tokensOf(await host.ask(DIFFERENT)), expected);
    await host.dispose();
    const events = hardware.events();
    assert(loadsOf(events).length > 6, "some are loaded a second time");
    const parts = new Set(events.map(({ model }) => model));
    for (const core of [0, 1]) {
      const calls = events.filter((event) => event.event === "begin" && event.core === core);
      assert.deepEqual(new Set(calls.map(({ model }) => model)), parts, `core ${core} ran all parts`);
    }
  });

  it("loads on its core from a Worker while the main thread loads on another", async () => {
    using hardware = new NeuronHardware({ cores: 3 });
    await using host = new NeuronProcess(hardware);
    // The default core is the process's: each load must meet its own.
    const [outcomes] = await Promise.all([
      host.worker(neuronModel, { numModels: 3 }, 4),
      host.load(neuronModel, { numModels: 3 }),
    ]);
    assert.deepEqual(tokensOf(outcomes), expected.slice(0, 4));
    const loads = loadsOf(hardware.events());
    assert.equal(loads.length, 18);
    for (const load of new Set(loads)) assert.equal(loads.filter((other) => other === load).length, 2, load);
    // What asks for no core is not left with another's.
    await host.loadModule(neuronPart);
    assert.match(loadsOf(hardware.events()).at(-1) ?? "", /^load \d /);
  });

  it("loads a module on the core that is asked for, and refuses one that there is not", async () => {
    using hardware = new NeuronHardware();
    for (const runtimeClass of ["0", "1"]) {
      await using host = new NeuronProcess(hardware, { NEURON_BLIP_STAND_IN_RUNTIME_CLASS: runtimeClass });
      await host.loadModule(neuronPart, { neuronCore: 1 });
      await host.forward(neuronPart, pixels);
      assert.deepEqual(hardware.usedCores(), [1]);
      await assert.rejects(
        host.loadModule(neuronPart, { neuronCore: 2 }),
        fails("NEURON_CORES_UNAVAILABLE", /vision_model\.pt" cannot be put on NeuronCore 2 .*2 visible NeuronCores/),
      );
      await host.loadModule(neuronPart, { neuronCore: 0 });
    }
  });

  it("runs each part twice while it is loaded, and says which call failed", async () => {
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware, { NEURON_RT_EXEC_TIMEOUT: "0.05" });
    await host.load(neuronModel);
    const begun = hardware.events().filter(({ event }) => event === "begin");
    const models = [...new Set(begun.map(({ model }) => model))];
    assert.deepEqual(
      begun.map(({ model }) => model),
      models.flatMap((model) => [model, model]),
    );
    assert.equal(models.length, 3);
    await host.load(neuronModel, { warmUp: false }, "cold");
    assert.equal(hardware.events().filter(({ event }) => event === "begin").length, begun.length);
    hardware.hang(0, 60_000);
    await assert.rejects(
      host.load(neuronModel, {}, "hangs"),
      fails("NEURON_EXECUTION", /Call 1 of the 2 that warm a part up failed: .*vision_model\.pt.*Timeout Exceeded/),
    );
    await host.load(neuronModel, {}, "after");
    assert.deepEqual(tokensOf(await host.ask(2, "after")), expected.slice(0, 2));
  });

  it("runs the parts of a directory without a manifest twice, too", async () => {
    const directory = join(work, "tutorial");
    cpSync(neuronModel, directory, { recursive: true });
    rmSync(join(directory, "neuron_blip.json"));
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware);
    await host.load(directory);
    const begun = hardware.events().filter(({ event }) => event === "begin");
    const models = new Set(begun.map(({ model }) => model));
    assert.equal(models.size, 3);
    for (const model of models) assert(begun.filter((event) => event.model === model).length >= 2, model);
    assert.deepEqual(tokensOf(await host.ask(2)), expected.slice(0, 2));
  });

  it("finds the runtime by its full path, where the linker would not", async () => {
    // Beside nothing: the stand-in's own search path leads nowhere from here, as that of AWS's library may.
    const { NEURON_BLIP_LIBTORCHNEURON: libraries = "" } = neuronEnvironment(undefined);
    const alone = join(work, "alone");
    mkdirSync(alone);
    copyFileSync(join(libraries, "libtorchneuron.so"), join(alone, "libtorchneuron.so"));
    using hardware = new NeuronHardware();
    await using host = new NeuronProcess(hardware, { NEURON_BLIP_LIBTORCHNEURON: alone });
    await host.load(neuronModel);
    assert.deepEqual(tokensOf(await host.ask(1)), expected.slice(0, 1));

    await using without = new NeuronProcess(hardware, {
      NEURON_BLIP_LIBTORCHNEURON: alone,
      NEURON_BLIP_LIBNRT: "/nowhere/libnrt.so.1",
    });
    await assert.rejects(
      without.load(neuronModel),
      fails(
        "NEURON_RUNTIME_MISMATCH",
        /libnrt\.so\.1: cannot open shared object.*aws-neuronx-runtime-lib.*NEURON_BLIP_LIBNRT/,
      ),
    );
  });

  it("counts virtual cores, and where the runtime has no such functions the cores by their old names", () => {
    const runtime = (name: string, source: string) => {
      const path = join(work, `${name}.so`);
      writeFileSync(join(work, `${name}.cc`), source);
      const args = ["-shared", "-fPIC", "-o", path, join(work, `${name}.cc`)];
      const { status, stderr } = spawnSync(process.env.CXX ?? "c++", args, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      const { totalCores, visibleCores } = native().describeNrt(path);
      return [totalCores, visibleCores];
    };
    const old = `extern "C" int nrt_get_total_nc_count(unsigned* n) { *n = 8; return 0; }
      extern "C" int nrt_get_visible_nc_count(unsigned* n) { *n = 4; return 0; }`;
    const names = `extern "C" int nrt_get_total_vnc_count(unsigned* n) { *n = 2; return 0; }
      extern "C" int nrt_get_visible_vnc_count(unsigned* n) { *n = 1; return 0; }`;
    assert.deepEqual(runtime("old", old), [8, 4]);
    assert.deepEqual(runtime("new", names), [2, 1]);
    assert.deepEqual(runtime("both", `${old}\n${names}`), [2, 1]);
    assert.deepEqual(runtime("refuses", `${old}\n${names.replaceAll("return 0", "return 1")}`), [8, 4]);
    assert.deepEqual(runtime("none", "int nothing = 0;"), [-1, -1]);
  });
});
