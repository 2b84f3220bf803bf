// The Neuron runtime in the Node process, on the stand-in for it: test/stand-ins/README.md says what that shows and what not.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { NeuronBlip, TorchModule } from "neuron-blip";
import { NeuronHardware } from "../children/neuron-hardware.ts";
import {
  NeuronProcess,
  neuronEnvironment,
  prepareStandIns,
  removeCache,
  runToEnd,
  tokensOf,
} from "../children/neuron-process.ts";
import { ask, DIFFERENT } from "../children/neuron-work.mjs";
import { fails, fixture } from "../helpers.ts";

const cpuModel = fixture("neuron/cpu");
const neuronModel = fixture("neuron/inf2");
const neuronPart = join(neuronModel, "vision_model.pt");
const pixels = [1, 3, 32, 32];

describe("Neuron, on a stand-in", () => {
  let expected: number[][] = [];

  before(async function () {
    await prepareStandIns.call(this);
    await using blip = await NeuronBlip.fromPretrained(cpuModel, { threads: 1 });
    expected = await Promise.all(Array.from({ length: DIFFERENT }, (_, n) => ask(blip, n)));
    assert(new Set(expected.map(String)).size > DIFFERENT / 2, "answers must differ, or comparing them shows nothing");
  });
  after(removeCache);

  describe("cores", () => {
    for (const [what, options, environment, cores] of [
      ['numModels "all"', { numModels: "all" }, {}, [0, 1, 2]],
      ['cores "1"', { numModels: "all", cores: "1" }, {}, [1]],
      ["cores [1, 2]", { numModels: "all", cores: [1, 2] }, {}, [1, 2]],
      ["NEURON_RT_VISIBLE_CORES", { numModels: "all" }, { NEURON_RT_VISIBLE_CORES: "1,2" }, [1, 2]],
      ["NEURON_RT_NUM_CORES", { numModels: "all" }, { NEURON_RT_NUM_CORES: "2" }, [0, 1]],
      ["cores over NEURON_RT_VISIBLE_CORES", { numModels: 2, cores: "0-1" }, { NEURON_RT_VISIBLE_CORES: "2" }, [0, 1]],
    ] as const) {
      it(`uses the cores that are chosen by ${what}`, async () => {
        using hardware = new NeuronHardware({ cores: 3 });
        await using host = new NeuronProcess(hardware, environment);
        assert.equal(await host.load(neuronModel, options), cores.length);
        assert.deepEqual(tokensOf(await host.ask(6)), expected.slice(0, 6));
        assert.deepEqual(hardware.usedCores(), cores);
      });
    }

    it("refuses other cores than the process uses already, and takes the same again", async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      await host.load(neuronModel, { cores: "0" });
      await assert.rejects(
        host.load(neuronModel, { cores: [1] }, "other"),
        fails("NEURON_CORES_UNAVAILABLE", /Cores 1 were asked for, and this process uses 0 already/),
      );
      assert.equal(await host.load(neuronModel, { cores: [0], numModels: "all" }, "same"), 1);
      assert.deepEqual(tokensOf(await host.ask(2, "same")), expected.slice(0, 2));
    });

    it("refuses more replicas than cores, cores that are none, and goes on", async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      for (const cores of ["", "x", "1-0", "0,2", [0, 2], [], [-1], [0.5], "0 1", "-1"]) {
        await assert.rejects(host.load(neuronModel, { cores }), fails("INVALID_INPUT", /cores/), JSON.stringify(cores));
      }
      await assert.rejects(
        host.load(neuronModel, { numModels: 3 }),
        fails("NEURON_CORES_UNAVAILABLE", /numModels 3 .* 2 NeuronCores/),
      );
      await host.load(cpuModel, {}, "cpu");
      assert.deepEqual(tokensOf(await host.ask(2, "cpu")), expected.slice(0, 2));
      await host.load(neuronModel, { numModels: 2 });
      assert.deepEqual(tokensOf(await host.ask(2)), expected.slice(0, 2));
    });

    it("refuses more replicas than cores also where only the runtime knows how many there are", async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware, { NEURON_BLIP_LIBNRT: "/nowhere/libnrt.so.1" });
      await assert.rejects(
        host.load(neuronModel, { numModels: "all" }),
        fails("NEURON_CORES_UNAVAILABLE", /libnrt\.so\.1 was not found: give numModels as a number/),
      );
      await assert.rejects(host.load(neuronModel, { numModels: 3 }), fails("NEURON_CORES_UNAVAILABLE", /NeuronCore 2/));
      await host.load(neuronModel, { numModels: 2 });
      assert.deepEqual(tokensOf(await host.ask(2)), expected.slice(0, 2));
    });

    it("says so where another process holds the cores, and answers on the CPU meanwhile and on Neuron afterwards", async () => {
      using hardware = new NeuronHardware();
      await using holder = new NeuronProcess(hardware);
      await holder.load(neuronModel);
      await using host = new NeuronProcess(hardware);
      await assert.rejects(
        host.load(neuronModel),
        fails("NEURON_CORES_UNAVAILABLE", /Another process may hold the NeuronCores.*neuron-blip doctor/),
      );
      await host.load(cpuModel, {}, "cpu");
      assert.deepEqual(tokensOf(await host.ask(2, "cpu")), expected.slice(0, 2));
      await holder.end();
      await host.load(neuronModel);
      assert.deepEqual(tokensOf(await host.ask(2)), expected.slice(0, 2));
    });

    it("says what a core failed with where a part cannot be loaded, and loads it when it can be", async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      for (const [status, code, message] of [
        [1202, "NEURON_EXECUTION", /vision_model\.pt": Could not load the model status=1202 .*NRT_EXEC_HW_ERR_NC_UE/],
        [4, "OUT_OF_MEMORY", /status=4 message=Allocation Failure .*16 GB/],
        [2, "NEURON_RUNTIME_MISMATCH", /status=2 message=Invalid .*another device family.*SDK/],
        [10, "NEURON_RUNTIME_MISMATCH", /Update aws-neuronx-runtime-lib/],
        [11, "OUT_OF_MEMORY", /host's memory/],
        [9, "NEURON_CORES_UNAVAILABLE", /Another process may hold/],
        [13, "NEURON_RESTART_REQUIRED", /start another process/],
      ] as const) {
        hardware.failLoads(0, status, 1);
        await assert.rejects(host.load(neuronModel), (error: { status?: number }) => {
          assert.equal(error.status, status);
          return fails(code, message)(error);
        });
      }
      await host.load(neuronModel);
      assert.deepEqual(tokensOf(await host.ask(1)), expected.slice(0, 1));
    });
  });

  describe("modules", () => {
    it("tells a module for Neuron from one for the CPU, loads it, places it, and refuses wrong shapes", async () => {
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware);
      assert.equal(await host.usesNeuron(neuronPart), true);
      assert.equal(await host.usesNeuron(join(cpuModel, "vision_model.pt")), false);
      assert.deepEqual(hardware.events(), [], "asking claims no core");
      assert.equal(await host.loadModule(neuronPart), true);
      assert.equal(await host.setNeuronCores(neuronPart, 1), true);
      await host.forward(neuronPart, pixels);
      assert.deepEqual(hardware.usedCores(), [1]);
      await assert.rejects(host.setNeuronCores(neuronPart, 2), fails("NEURON_CORES_UNAVAILABLE", /NeuronCore 2/));
      // Of the call, not of the core.
      await assert.rejects(host.forward(neuronPart, [1, 3, 16, 16]), fails("EXECUTION_FAILED"));
      assert.equal(await host.setNeuronCores(neuronPart, 0, 2), true);
      await host.forward(neuronPart, pixels);
      await host.forward(neuronPart, pixels);
      assert.deepEqual(hardware.usedCores(), [0, 1], "copies take turns");
      hardware.fail(0, 1202, 1);
      hardware.fail(1, 1202, 1);
      await assert.rejects(host.forward(neuronPart, pixels), fails("NEURON_EXECUTION", /NRT_EXEC_HW_ERR_NC_UE/));
    });

    for (const status of [7, 15, 1005, 1100]) {
      it(`is called again where the runtime is busy for a moment: status ${status}`, async () => {
        using hardware = new NeuronHardware({ cores: 1 });
        await using host = new NeuronProcess(hardware);
        hardware.failLoads(0, status, 1);
        await host.loadModule(neuronPart);
        hardware.fail(0, status, 3);
        await host.forward(neuronPart, pixels);
        hardware.fail(0, status);
        await assert.rejects(host.forward(neuronPart, pixels), (error: { status?: number }) => {
          assert.equal(error.status, status);
          return fails("NEURON_EXECUTION", /It was tried again several times/)(error);
        });
        hardware.mend();
        await host.forward(neuronPart, pixels);
      });
    }

    for (const [status, message] of [
      [1002, /Give it inputs of the shapes and dtypes/],
      [1003, /message=Numerical Error .*--auto-cast=none/],
    ] as const) {
      it(`fails only the call whose inputs or numbers are wrong: status ${status}`, async () => {
        using hardware = new NeuronHardware({ cores: 1 });
        await using host = new NeuronProcess(hardware);
        await host.loadModule(neuronPart);
        hardware.fail(0, status, 1);
        await assert.rejects(host.forward(neuronPart, pixels), fails("NEURON_EXECUTION", message));
        await host.forward(neuronPart, pixels);
        assert.equal(hardware.events().filter(({ event }) => event === "begin").length, 2, "made once");
      });
    }

    it("has two calls in flight for each core, so that they overlap, and one where one is asked for", async () => {
      using hardware = new NeuronHardware({ cores: 1, latencyMs: 10, exclusiveMs: 0 });
      await using host = new NeuronProcess(hardware);
      const most = async (name: string) => {
        const before = hardware.events().length;
        assert.deepEqual(tokensOf(await host.ask(4, name)), expected.slice(0, 4));
        let now = 0;
        return Math.max(
          ...hardware
            .events()
            .slice(before)
            .map(({ event }) => (now += event === "begin" ? 1 : event === "end" ? -1 : 0)),
        );
      };
      await host.load(neuronModel);
      assert.equal(await most("blip"), 2);
      await host.load(neuronModel, { callsInFlight: 1 }, "one");
      assert.equal(await most("one"), 1);
    });

    it("refuses callsInFlight that is no small whole number", async () => {
      for (const callsInFlight of [0, -1, 1.5, 65, Number.NaN, "2" as unknown as number]) {
        await assert.rejects(
          NeuronBlip.fromPretrained(cpuModel, { callsInFlight }),
          fails("INVALID_INPUT", /callsInFlight must be a whole number from 1 to 64/),
        );
      }
    });
  });

  describe("its libraries", () => {
    it("are not looked for by models for the CPU", async () => {
      await using host = new NeuronProcess(undefined, {
        NEURON_BLIP_LIBTORCHNEURON: "/nowhere/libtorchneuron.so",
        NEURON_BLIP_LIBNRT: "/nowhere/libnrt.so.1",
      });
      assert.equal(await host.load(cpuModel, { numModels: "all" }), 1);
      assert.equal(await host.load(cpuModel, { numModels: 2 }, "two"), 2);
      assert.deepEqual(tokensOf(await host.ask(4)), expected.slice(0, 4));
      await host.end();
    });

    it("are missed by name, with the places and the cure, and the process goes on", async () => {
      await using host = new NeuronProcess(undefined, { NEURON_BLIP_LIBTORCHNEURON: "/nowhere" });
      const missed = fails(
        "NEURON_RUNTIME_NOT_FOUND",
        /\/nowhere\/libtorchneuron\.so.*pip install torch-neuronx.*npx neuron-blip compile MODEL DIR --target cpu/,
      );
      await host.load(cpuModel, {}, "before");
      await assert.rejects(host.load(neuronModel), missed);
      await assert.rejects(host.load(neuronModel, { numModels: "all" }), missed);
      await assert.rejects(host.loadModule(neuronPart), missed);
      await host.load(cpuModel, {}, "after");
      for (const name of ["before", "after"]) assert.deepEqual(tokensOf(await host.ask(2, name)), expected.slice(0, 2));
    });

    it("are found where an option names them, and once there is a device", async () => {
      const { NEURON_BLIP_LIBTORCHNEURON: libtorchneuron = "" } = neuronEnvironment(undefined);
      using hardware = new NeuronHardware();
      await using host = new NeuronProcess(hardware, { NEURON_BLIP_LIBTORCHNEURON: "/nowhere" });
      await host.load(neuronModel, { libtorchneuron });
      assert.deepEqual(tokensOf(await host.ask(1)), expected.slice(0, 1));
      await using elsewhere = new NeuronProcess();
      await assert.rejects(elsewhere.load(neuronModel), fails("NEURON_CORES_UNAVAILABLE", /driver is not loaded/));
    });

    describe("that do not fit", function () {
      this.timeout(300_000);
      let work = "";

      before(() => {
        work = mkdtempSync(join(tmpdir(), "neuron-blip-libraries-"));
      });
      after(() => rmSync(work, { recursive: true, force: true }));

      /** Makes a shared library of a line of C++. */
      function library(name: string, source: string): string {
        const path = join(work, `${name}.so`);
        writeFileSync(join(work, `${name}.cc`), source);
        const args = ["-shared", "-fPIC", "-o", path, join(work, `${name}.cc`)];
        const { status, stderr } = spawnSync(process.env.CXX ?? "c++", args, { encoding: "utf8" });
        assert.equal(status, 0, stderr);
        return path;
      }

      it("are told from those that do, before they can harm the process", async () => {
        const packages = join(work, "lib", "python3.11", "site-packages");
        const other = join(packages, "torch_neuronx", "lib", "libtorchneuron.so");
        for (const directory of [dirname(other), join(packages, "torch")]) mkdirSync(directory, { recursive: true });
        copyFileSync(join(neuronEnvironment(undefined).NEURON_BLIP_LIBTORCHNEURON ?? "", "libtorchneuron.so"), other);
        writeFileSync(join(packages, "torch", "version.py"), "__version__ = '2.1.2+cu121'\n");
        const noLibrary = join(work, "text.so");
        writeFileSync(noLibrary, "not a library\n");
        const missing = `void neuron_blip_missing(); __attribute__((constructor)) void f() { neuron_blip_missing(); }`;
        const abort = `#include <cstdlib>\n__attribute__((constructor)) void f() { std::abort(); }`;
        const exit = `#include <cstdlib>\n__attribute__((constructor)) void f() { std::_Exit(0); }`;

        using hardware = new NeuronHardware();
        await using host = new NeuronProcess(hardware);
        for (const [path, message] of [
          [
            other,
            /made for torch 2\.1\.2\+cu121, .*NEURON_BLIP_LIBTORCH=\S+site-packages\/torch npx neuron-blip build/,
          ],
          [noLibrary, /does not load beside libtorch \d.*(too short|invalid ELF header)/],
          [library("missing", missing), /undefined symbol.*neuron_blip_missing.*another version or C\+\+ ABI/],
          [library("abort", abort), /it ends the process with SIGABRT/],
          [library("exit", exit), /it ends the process/],
          [library("empty", "int neuron_blip_nothing = 1;"), /does not know what the part was compiled to/],
        ] as const) {
          await assert.rejects(
            host.load(neuronModel, { libtorchneuron: path }),
            fails("NEURON_RUNTIME_MISMATCH", message),
          );
        }
        await host.load(cpuModel, {}, "cpu");
        assert.deepEqual(tokensOf(await host.ask(2, "cpu")), expected.slice(0, 2));
      });

      it("are tried out in another process, the first time only", async () => {
        const log = join(work, "loads.log");
        const counting = library(
          "counting",
          `#include <cstdio>
          #include <unistd.h>
          __attribute__((constructor)) void f() {
            std::FILE* log = std::fopen("${log}", "a");
            std::fprintf(log, "%d\\n", getpid());
            std::fclose(log);
          }`,
        );
        const loads = () => (existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n") : []);
        const environment = { NEURON_BLIP_CACHE: join(work, "cache"), NEURON_BLIP_LIBTORCHNEURON: counting };
        for (const count of [2, 3]) {
          await using host = new NeuronProcess(undefined, environment);
          await assert.rejects(host.loadModule(neuronPart), fails("NEURON_RUNTIME_MISMATCH"));
          assert.equal(loads().length, count);
          await host.end();
        }
        assert.equal(new Set(loads()).size, 3, "three processes");
      });
    });
  });

  describe("in a Worker", () => {
    it("answers, on the cores that the Worker chose", async () => {
      using hardware = new NeuronHardware({ cores: 3 });
      await using host = new NeuronProcess(hardware);
      const outcomes = await host.worker(neuronModel, { numModels: 2, cores: [1, 2] }, 4);
      assert.deepEqual(tokensOf(outcomes), expected.slice(0, 4));
      assert.deepEqual(hardware.usedCores(), [1, 2]);
      // The runtime outlives the Worker.
      await host.load(neuronModel);
      assert.deepEqual(tokensOf(await host.ask(2)), expected.slice(0, 2));
      await host.end();
    });
  });

  describe("a process that ends in the middle of a call", () => {
    for (const [how, code] of Object.entries({
      natural: 0,
      exit: 3,
      throw: 1,
      "worker-natural": 0,
      "worker-exit": 0,
      "worker-terminate": 0,
      "exit-with-worker": 3,
    })) {
      it(`exits with ${code}: ${how}`, () => {
        using hardware = new NeuronHardware();
        hardware.hang(0, 300);
        const { status, signal, stderr } = runToEnd(hardware, ["neuron-exit.mjs", neuronModel, how]);
        assert.equal(signal ?? status, code, stderr);
        assert.deepEqual(
          hardware
            .events()
            .flatMap(({ event }) => (event === "begin" || event === "end" ? [event] : []))
            .slice(0, 2),
          ["begin", "end"],
          "the call under way is waited for",
        );
        assert.equal(/on purpose/.test(stderr), how === "throw");
        assert.doesNotMatch(stderr, /terminate called|double free|corrupt|Unhandled/);
      });
    }
  });

  it("is not asked about by a module that needs it not", async () => {
    assert.equal(await TorchModule.usesNeuron(join(cpuModel, "text_decoder.pt")), false);
    await assert.rejects(TorchModule.usesNeuron(join(cpuModel, "config.json")), fails("ARTIFACT_CORRUPT"));
    await assert.rejects(TorchModule.usesNeuron("/nowhere/x.pt"), fails("ARTIFACT_NOT_FOUND"));
  });
});
