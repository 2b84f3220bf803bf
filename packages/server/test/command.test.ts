// The command: its arguments, and what becomes of its replicas.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { NeuronBlip } from "neuron-blip";
import { pino } from "pino";
import { demoModel } from "../../../test/helpers.js";
import { readArguments, UsageError } from "../dist/cli/arguments.js";
import { watchReplicas } from "../dist/cli/replicas.js";
import { runServe } from "../dist/index.js";

describe("the arguments of serve", () => {
  it("have defaults", () => {
    const given = readArguments(["model"]);
    assert.deepEqual([given?.model, given?.host, given?.port], ["model", "127.0.0.1", 8080]);
    assert.deepEqual([given?.drainDelayMs, given?.graceMs, given?.metricsPort], [5000, 30_000, undefined]);
    assert.equal(readArguments(["--help"]), undefined);
  });

  it("that repeat are lists", () => {
    const given = readArguments(["model", "--question", "a?", "--question", "b?", "--allow-url", "example.com"]);
    assert.deepEqual(given?.questions, ["a?", "b?"]);
    assert.deepEqual(given?.allowedUrls, ["example.com"]);
  });

  it("ask for keys where others than this host may reach it, unless that is meant", () => {
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.evil.example"]) {
      assert.throws(() => readArguments(["model", "--host", host]), UsageError, host);
      assert(readArguments(["model", "--host", host, "--insecure-no-auth"]));
      assert(readArguments(["model", "--host", host, "--api-key-file", "keys"]));
    }
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) assert(readArguments(["model", "--host", host]));
  });

  it("may be none in SageMaker's container, where all addresses are listened on for its own front door", () => {
    const given = readArguments([], "/opt/ml/model");
    assert.deepEqual([given?.model, given?.host, given?.port], ["/opt/ml/model", "0.0.0.0", 8080]);
    assert.deepEqual(given?.allowedHosts, ["*"]);
    assert.equal(readArguments(["--question", "a?"], "/opt/ml/model")?.host, "0.0.0.0");
    const named = readArguments(["model"], "/opt/ml/model");
    assert.deepEqual([named?.model, named?.host, named?.allowedHosts], ["model", "127.0.0.1", []]);
    assert.throws(() => readArguments(["model", "--host", "0.0.0.0"], "/opt/ml/model"), UsageError);
  });

  it("that are wrong are refused with what they take", () => {
    for (const args of [
      [],
      ["one", "two"],
      ["model", "--nosuch"],
      ["model", "--port", "x"],
      ["model", "--port", "70000"],
      ["model", "--replicas", "0"],
      ["model", "--timeout", "3000000000"],
      ["model", "--dtype", "float8"],
      ["model", "--log-level", "loud"],
    ]) {
      assert.throws(() => readArguments(args), UsageError, args.join(" "));
    }
  });
});

describe("the command", () => {
  it("ends where its port is taken, and leaves none open", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const listening = () => process.getActiveResourcesInfo().filter((name) => name === "TCPServerWrap").length;
    const before = listening();
    const port = String((other.address() as AddressInfo).port);
    assert.equal(await runServe([demoModel, "--port", port, "--metrics-port", "0", "--log-level", "silent"]), 1);
    assert.equal(listening(), before);
    other.close();
  });

  it("logs what becomes of replicas, and ends when none can be used in its process any more", () => {
    const blip = new EventEmitter() as unknown as Pick<NeuronBlip, "on"> & EventEmitter;
    const lines: string[] = [];
    const lost = watchReplicas(blip, pino({ level: "info" }, { write: (line) => void lines.push(line) }));
    const error = new Error("out");
    blip.emit("replicaFailed", { replica: 1, error });
    blip.emit("replicaReady", { replica: 1 });
    blip.emit("replicaGivenUp", { replica: 1, error });
    assert.equal(lost.aborted, false);
    blip.emit("restartRequired", { error });
    assert.equal(lost.aborted, true);
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)).map(({ level, replica }) => [level, replica]),
      [
        [50, 1],
        [30, 1],
        [50, 1],
        [60, undefined],
      ],
    );
  });
});
