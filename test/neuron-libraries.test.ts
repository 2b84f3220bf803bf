import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { NeuronBlipError } from "neuron-blip";
import { formatCores, parseCores } from "../dist/neuron/cores.js";
import { findLibnrt, findLibtorchneuron, torchVersionBeside } from "../dist/neuron/find-libraries.js";
import { isCoreFailure, neuronError } from "../dist/neuron/neuron-error.js";
import { fails } from "./helpers.js";

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

describe("a choice of NeuronCores", () => {
  it("is a range, a list or an index, of cores that follow each other", () => {
    assert.deepEqual(["0-3", "2", "1,2", " 0 - 1 "].map(parseCores), [[0, 1, 2, 3], [2], [1, 2], [0, 1]]);
    assert.deepEqual([[0, 1, 2], [3]].map(formatCores), ["0-2", "3"]);
    for (const cores of ["", "a", "1-0", "0,2", "-1", [], [1, 0], [0.5], [-1]]) {
      assert.throws(() => parseCores(cores), fails("INVALID_INPUT", /follow each other/));
    }
  });
});

describe("what the Neuron runtime says", () => {
  const told = (message: string) => neuronError("part.pt", new NeuronBlipError("EXECUTION_FAILED", message));

  it("becomes an error with its status and its cure", () => {
    const failed = told("nrt_execute failed: NRT_EXEC_HW_ERR_NC_UE (status 1202) on NeuronCore 0");
    assert.deepEqual([failed.code, failed.status, isCoreFailure(failed)], ["NEURON_EXECUTION", 1202, true]);
    const numeric = told("nrt_execute status_code=1003");
    assert.deepEqual([numeric.code, numeric.status, isCoreFailure(numeric)], ["NEURON_EXECUTION", 1003, false]);
    assert.equal(told("NRT_TIMEOUT while executing").status, 5);
    const held = told(
      "The PyTorch Neuron Runtime could not be initialized. Neuron Driver issues are logged to your system logs.",
    );
    assert(fails("NEURON_CORES_UNAVAILABLE", /doctor/)(held));
    assert(fails("NEURON_RUNTIME_MISMATCH", /newer compiler/)(told("nrt_load failed: status 10")));
  });

  it("of a process that was forked after it had used Neuron is to start processes otherwise", () => {
    assert(fails("NEURON_EXECUTION", /spawn or exec/)(told("Incompatible runtime state: NRT_STATE_CHILD")));
  });
});
