import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { NeuronBlipError } from "neuron-blip";
import { formatCores, parseCores } from "../../../dist/torch/neuron/cores.js";
import { findLibnrt, findLibtorchneuron, torchVersionBeside } from "../../../dist/torch/neuron/find-libraries.js";
import { isBusy, isNeuronFailure, neuronError, replicaFailureOf } from "../../../dist/torch/neuron/neuron-error.js";
import { cureOfRefusal } from "../../../dist/torch/neuron/neuron-runtime.js";
import { NRT_STATUSES } from "../../../dist/torch/neuron/nrt-status.js";
import { fails } from "../../helpers.js";

describe("Neuron's libraries", () => {
  let hostRoot: string;
  beforeEach(() => {
    hostRoot = mkdtempSync(join(tmpdir(), "neuron-blip-host-"));
  });
  afterEach(() => rmSync(hostRoot, { recursive: true, force: true }));

  const write = (path: string, content = "") => {
    const file = join(hostRoot, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return file;
  };
  const library = (packages: string) => write(join(packages, "torch_neuronx", "lib", "libtorchneuron.so"));
  /** A virtual environment whose Python has torch_neuronx in those packages. */
  const environment = (packages: string) => {
    const answer = `#!/bin/sh\necho "${join(hostRoot, packages, "torch_neuronx")}"\n`;
    chmodSync(write("venv/bin/python", answer), 0o755);
    return join(hostRoot, "venv");
  };

  it("are looked for where the option says, then the environment, the active Python, and AWS's newest environment", () => {
    const older = library("opt/aws_neuronx_venv_pytorch_2_8/lib/python3.11/site-packages");
    const newest = library("opt/aws_neuronx_venv_pytorch_2_10/lib/python3.11/site-packages");
    library("opt/aws_neuronx_venv_pytorch_2_10_nxd/lib/python3.11/site-packages");
    const active = library("venv/lib/python3.11/site-packages");
    const env = { PATH: "/nowhere" };
    const withPython = { PATH: "/bin", VIRTUAL_ENV: environment("venv/lib/python3.11/site-packages") };
    assert.equal(findLibtorchneuron({ hostRoot, env }).path, newest);
    assert.equal(findLibtorchneuron({ hostRoot, env: withPython }).path, active);
    const named = { ...withPython, NEURON_BLIP_LIBTORCHNEURON: dirname(older) };
    assert.equal(findLibtorchneuron({ hostRoot, env: named }).path, older);
    assert.equal(findLibtorchneuron({ hostRoot, env: named, path: newest }).path, newest);
  });

  it("are not taken from elsewhere where the place that was named has none, and the places are told", () => {
    library("opt/aws_neuronx_venv_pytorch_2_9/lib/python3.11/site-packages");
    const found = findLibtorchneuron({ hostRoot, env: { NEURON_BLIP_LIBTORCHNEURON: "/nowhere" } });
    assert.deepEqual(found, { path: undefined, places: ["/nowhere/libtorchneuron.so"] });
    assert.deepEqual(findLibnrt({ hostRoot, env: {} }), {
      path: undefined,
      places: [join(hostRoot, "opt/aws/neuron/lib/libnrt.so.1")],
    });
    const nrt = write("opt/aws/neuron/lib/libnrt.so.1");
    assert.equal(findLibnrt({ hostRoot, env: {} }).path, nrt);
  });

  it("belong to the torch of their environment", () => {
    const packages = "opt/aws_neuronx_venv_pytorch_2_9/lib/python3.11/site-packages";
    const path = library(packages);
    assert.equal(torchVersionBeside(path), undefined);
    write(join(packages, "torch", "version.py"), "__version__ = '2.9.0+cu128'\n");
    assert.equal(torchVersionBeside(path), "2.9.0+cu128");
  });
});

describe("what the dynamic linker says of libtorchneuron.so", () => {
  it("has the cure that fits it", () => {
    for (const [words, cure] of [
      [
        "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.35' not found (required by libtorchneuron.so).",
        /needs glibc 2\.35: .*Ubuntu 22\.04 or 24\.04, not Amazon Linux 2023/,
      ],
      [
        "libtorchneuron.so: undefined symbol: _ZN3c106detail14torchCheckFailE.",
        /another version or C\+\+ ABI.*NEURON_BLIP_LIBTORCH=/,
      ],
      [
        "libnrt.so.1: cannot open shared object file: No such file or directory.",
        /aws-neuronx-runtime-lib.*NEURON_BLIP_LIBNRT/,
      ],
      ["it ends the process with SIGSEGV.", /NEURON_BLIP_LIBTORCH=/],
    ] as const) {
      assert.match(cureOfRefusal(words), cure);
    }
  });
});

describe("a choice of NeuronCores", () => {
  it("is a range, a list or an index, of cores that follow each other", () => {
    assert.deepEqual(["0-3", "2", "1,2", " 0 - 1 "].map(parseCores), [[0, 1, 2, 3], [2], [1, 2], [0, 1]]);
    assert.deepEqual([[0, 1, 2], [3]].map(formatCores), ["0-2", "3"]);
    for (const cores of ["", "a", "1-0", "0,2", "-1", [], [1, 0], [0.5], [-1]]) {
      assert.throws(() => parseCores(cores), fails("INVALID_INPUT", /follow each other/));
    }
  });
});

describe("what libtorchneuron says", () => {
  /** As it comes from TorchScript, which tells first where in its code it was. */
  const told = (words: string) =>
    neuronError(
      "part.pt",
      new NeuronBlipError(
        "EXECUTION_FAILED",
        `The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript, serialized code:\n  File "x.py"\nRuntimeError: ${words}\n`,
      ),
    );
  const executed = (status: number, message = "…") =>
    told(`Failed to execute the model status=${status} message=${message}`);
  const loaded = (status: number, message = "…") =>
    told(`Could not load the model status=${status} message=${message}`);

  /** Every status of nrt_status.h: what a call that ended with it is, and what becomes of its replica. */
  const EXECUTED: Readonly<Record<number, readonly [code: string, failure: string | undefined]>> = {
    1: ["NEURON_EXECUTION", "reload"],
    2: ["NEURON_EXECUTION", undefined],
    3: ["NEURON_EXECUTION", "reload"],
    4: ["NEURON_EXECUTION", "reload"],
    5: ["NEURON_EXECUTION", "reload"],
    6: ["NEURON_RESTART_REQUIRED", "processEnd"],
    7: ["NEURON_EXECUTION", undefined],
    9: ["NEURON_CORES_UNAVAILABLE", undefined],
    10: ["NEURON_RUNTIME_MISMATCH", undefined],
    11: ["OUT_OF_MEMORY", undefined],
    13: ["NEURON_RESTART_REQUIRED", "processEnd"],
    14: ["NEURON_RESTART_REQUIRED", "processEnd"],
    15: ["NEURON_EXECUTION", undefined],
    101: ["NEURON_EXECUTION", "coreOut"],
    1002: ["NEURON_EXECUTION", undefined],
    1003: ["NEURON_EXECUTION", undefined],
    1004: ["NEURON_EXECUTION", "reloadOnce"],
    1005: ["NEURON_EXECUTION", undefined],
    1006: ["NEURON_EXECUTION", "reload"],
    1100: ["NEURON_EXECUTION", undefined],
    1200: ["NEURON_EXECUTION", "coreOut"],
    1201: ["NEURON_EXECUTION", "coreOut"],
    1202: ["NEURON_EXECUTION", "coreOut"],
    1203: ["NEURON_EXECUTION", "coreOut"],
    1204: ["NEURON_EXECUTION", "reload"],
    1205: ["NEURON_EXECUTION", "coreOut"],
    1206: ["NEURON_RESTART_REQUIRED", "processEnd"],
    // One that is not known.
    1299: ["NEURON_EXECUTION", "reload"],
  };

  for (const [status, [code, failure]] of Object.entries(EXECUTED)) {
    it(`of a call with status ${status} is ${code}${failure ? `, and its replica's ${failure}` : ", the call's own"}`, () => {
      const error = executed(Number(status));
      assert.deepEqual([error.code, error.status, replicaFailureOf(error)], [code, Number(status), failure]);
      assert.match(
        error.message,
        new RegExp(`^"part\\.pt": Failed to execute the model status=${status} message=… \\(`),
      );
      assert(error.message.length < 1000 && !error.message.includes("\n"));
    });
  }

  it("names every status of the runtime's header, and no other", () => {
    assert.deepEqual(
      Object.keys(NRT_STATUSES),
      Object.keys(EXECUTED).filter((status) => status !== "1299"),
    );
  });

  it("tells calls that may be made again from all others, in the same words or in other lines", () => {
    for (const status of [...Object.keys(NRT_STATUSES).map(Number), 1299]) {
      const busy = isBusy(`RuntimeError: Failed to execute the model status=${status} message=…`);
      assert.equal(busy, [7, 15, 1005, 1100].includes(status), `${status}`);
    }
    for (const words of ["status=7", "nothing of Neuron's", "The PyTorch Neuron Runtime could not be initialized"]) {
      assert.equal(isBusy(words), false, words);
    }
  });

  it("of a load has cures of its own", () => {
    for (const [status, code, cure] of [
      [2, "NEURON_RUNTIME_MISMATCH", /another device family, core configuration or SDK/],
      [4, "OUT_OF_MEMORY", /16 GB on Inferentia2/],
      [9, "NEURON_CORES_UNAVAILABLE", /Another process may hold the NeuronCores/],
      [10, "NEURON_RUNTIME_MISMATCH", /newer compiler.*the NEFF version and the features.*aws-neuronx-runtime-lib/],
      [11, "OUT_OF_MEMORY", /The host's memory/],
      [1202, "NEURON_EXECUTION", /The core or its memory is failing/],
      [13, "NEURON_RESTART_REQUIRED", /start another process/],
    ] as const) {
      const error = loaded(status);
      assert(fails(code, cure)(error));
      assert.equal(error.status, status);
    }
  });

  it("of a runtime that does not begin, over several lines, is that the cores are held or the driver is missing", () => {
    for (const words of [
      "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged\nto your system logs. See the Neuron Runtime's troubleshooting guide for help on this\ntopic: https://awsdocs-neuron.readthedocs-hosted.com/en/latest/",
      "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged to your system logs",
      "Neuron runtime cannot be initialized; cannot determine the number of available NeuronCores",
    ]) {
      assert(isNeuronFailure(words));
      const error = told(words);
      assert(
        fails("NEURON_CORES_UNAVAILABLE", /initialized.*Another process may hold.*driver is not loaded.*doctor/)(error),
      );
      assert.equal(replicaFailureOf(error), undefined);
    }
  });

  it("of a failed call has the cure that its status needs", () => {
    assert.match(executed(5, "Timeout Exceeded").message, /message=Timeout Exceeded .*NEURON_RT_EXEC_TIMEOUT/);
    assert.match(executed(1003, "Numerical Error").message, /--auto-cast=none/);
    assert.match(executed(1006, "Execution Out-Of-Bounds Memory Access").message, /outside of its memory/);
    assert.match(executed(13).message, /start another process.*forked.*NRT_STATE_CHILD.*spawn or exec/);
  });

  it("of weights on another core than the model is how to trace it", () => {
    const error = told("Input tensor 3 allocated on vnc 0 must be allocated on same vnc as model (1)");
    assert(fails("NEURON_EXECUTION", /same vnc as model \(1\)\. .*inline_weights_to_neff=False/)(error));
    assert.equal(replicaFailureOf(error), undefined, "another core would say the same");
  });

  it("is told in less than 1,000 characters, however long it or the path is", () => {
    const long = "x".repeat(5000);
    for (const words of [
      ...Object.keys(NRT_STATUSES).map((status) => `Failed to execute the model status=${status} message=${long}`),
      `Input ${long} allocated on vnc 0 must be allocated on same vnc as model (1)`,
      `Unknown type name '__torch__.torch.classes.neuron.${long}':`,
    ]) {
      const { code, message } = neuronError(`/models/${long}.pt`, new NeuronBlipError("EXECUTION_FAILED", words));
      assert.notEqual(code, "EXECUTION_FAILED");
      assert(message.length < 850, `${message.length}`); // with what a model that is given up adds
    }
  });

  it("of a process that was forked after it had used Neuron is to start processes otherwise", () => {
    assert(fails("NEURON_RESTART_REQUIRED", /spawn or exec/)(told("Incompatible runtime state: NRT_STATE_CHILD")));
  });

  it("is told from what TorchScript says of a library that knows no such type or operator, and from all else", () => {
    const load = (words: string) => neuronError("part.pt", new NeuronBlipError("ARTIFACT_CORRUPT", words));
    for (const words of [
      "… libtorch says: Unknown type name '__torch__.torch.classes.neuron.Model':",
      "… libtorch says: Unknown builtin op: neuron::forward_v2.",
    ]) {
      assert(fails("NEURON_RUNTIME_MISMATCH", /does not know what the part was compiled to/)(load(words)));
    }
    const other = new NeuronBlipError("ARTIFACT_CORRUPT", "Unknown builtin op: torchvision::nms.");
    assert.equal(neuronError("part.pt", other), other);
    const shape = new NeuronBlipError("EXECUTION_FAILED", "The size of tensor a (3) must match");
    assert.equal(neuronError("part.pt", shape), shape);
    assert.equal(isNeuronFailure(shape.message), false);
  });
});
