// `neuron-blip compile` from a small random model to a model directory. Needs torch and transformers in the Python that
// NEURON_BLIP_PYTHON names: scripts/test-parity.mjs has one.
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist", "cli", "main.js");
const standIns = join(root, "test", "stand-ins");
const python = process.env.NEURON_BLIP_PYTHON ?? "python3";
const PARTS = ["vision_model", "text_encoder", "text_decoder"];

/** What neuron_blip.json says, as far as these tests look at it. */
interface Manifest {
  target: string;
  answer_length: number;
  compiler_args: string[];
  parts: Record<string, { sha256: string; size: number; max_abs_difference: number | null }>;
  versions: Record<string, string | null>;
}

function manifestOf(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "neuron_blip.json"), "utf8"));
}

/** When each file of a model directory was written; the logs, which every run adds to, left out. */
function writtenTimes(directory: string): Record<string, number> {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({ name }) => [name, statSync(join(directory, name)).mtimeMs]));
}

/** What was done to each part, by the lines on standard output. */
function outcomes(stdout: string): Record<string, string> {
  const found = stdout.matchAll(/^(\w+) +(up to date|traced)\b/gm);
  return Object.fromEntries(Array.from(found, ([, part = "", what = ""]) => [part, what]));
}

describe("neuron-blip compile, with torch", function () {
  this.timeout(10 * 60_000);
  let work = "";
  let model = "";
  let compiled = "";
  let firstRun = "";

  function compile(args: string[], env: Record<string, string> = {}): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [main, "compile", model, ...args], {
      encoding: "utf8",
      env: { ...process.env, NEURON_BLIP_PYTHON: python, ...env },
    });
  }

  /** Compiles for the CPU, which must succeed; returns what it printed. */
  function succeed(directory: string, ...args: string[]): string {
    const { status, stdout, stderr } = compile([directory, "--target", "cpu", "--question-length", "12", ...args]);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    return stdout;
  }

  /** A copy of the compiled directory, for one test to change. */
  function copy(name: string): string {
    const directory = join(work, name);
    cpSync(compiled, directory, { recursive: true, preserveTimestamps: true });
    return directory;
  }

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-compile-"));
    const make = [join(root, "scripts", "make_fixtures.py"), work, "--shapes", "small"];
    const { status, stderr } = spawnSync(python, make, { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    model = join(work, "small");
    compiled = join(work, "compiled");
    firstRun = succeed(compiled);
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("traces every part, compares each with transformers, and records what it wrote", () => {
    assert.deepEqual(outcomes(firstRun), Object.fromEntries(PARTS.map((part) => [part, "traced"])));
    const manifest = manifestOf(compiled);
    assert.equal(manifest.target, "cpu");
    assert.deepEqual(Object.keys(manifest.parts), PARTS);
    for (const part of PARTS) {
      const { size, max_abs_difference: difference } = manifest.parts[part] ?? {};
      assert.equal(statSync(join(compiled, `${part}.pt`)).size, size);
      assert(typeof difference === "number" && difference < 1e-3, `${part}: ${difference}`);
    }
    assert.match(firstRun, /answers +(\d+) of \1 equal/);
    assert(!existsSync(join(compiled, ".compiling")), "left-overs");
  });

  it("rewrites nothing that is up to date", () => {
    const directory = copy("again");
    const before = writtenTimes(directory);
    const stdout = succeed(directory);
    assert.deepEqual(outcomes(stdout), Object.fromEntries(PARTS.map((part) => [part, "up to date"])));
    assert.deepEqual(writtenTimes(directory), before);
  });

  it("traces only the decoder again for another answer length", () => {
    const directory = copy("longer");
    const stdout = succeed(directory, "--answer-length", "10");
    assert.deepEqual(outcomes(stdout), {
      vision_model: "up to date",
      text_encoder: "up to date",
      text_decoder: "traced",
    });
    assert.equal(manifestOf(directory).answer_length, 10);
    assert.equal(manifestOf(directory).parts.text_encoder?.sha256, manifestOf(compiled).parts.text_encoder?.sha256);
  });

  it("traces a part again that is not what was written", () => {
    const directory = copy("tampered");
    const file = join(directory, "text_encoder.pt");
    const bytes = readFileSync(file);
    const tampered = Buffer.from(bytes);
    const middle = tampered.length >> 1;
    tampered.writeUInt8(tampered.readUInt8(middle) ^ 1, middle);
    writeFileSync(file, tampered);
    const stdout = succeed(directory);
    assert.deepEqual(outcomes(stdout), {
      vision_model: "up to date",
      text_encoder: "traced",
      text_decoder: "up to date",
    });
    assert.notDeepEqual(readFileSync(file), tampered);
    assert.equal(statSync(file).size, manifestOf(directory).parts.text_encoder?.size);
  });

  it("exits with 3 for --target inf2 without torch_neuronx, and names what to install", () => {
    const hidden = join(work, "without-neuron");
    mkdirSync(hidden);
    writeFileSync(join(hidden, "torch_neuronx.py"), 'raise ImportError("hidden by the test")\n');
    const directory = join(work, "no-neuron");
    const { status, stderr } = compile([directory, "--target", "inf2"], { PYTHONPATH: hidden });
    assert.equal(status, 3, stderr);
    assert.match(stderr, /--target inf2 needs torch_neuronx .*\(hidden by the test\)/);
    assert.match(stderr, /pip install torch-neuronx==/);
    assert(stderr.includes(realpathSync(join(root, "scripts", "requirements.txt"))), stderr);
    assert.doesNotMatch(stderr, /Traceback/);
    assert(!existsSync(join(directory, "neuron_blip.json")));
  });

  it("compiles for inf2 by a stand-in for torch_neuronx: its arguments, and a manifest that says so", () => {
    const directory = join(work, "inf2");
    const { status, stderr } = compile([directory, "--target", "inf2"], { PYTHONPATH: standIns });
    assert.equal(status, 0, stderr);
    const manifest = manifestOf(directory);
    assert.equal(manifest.target, "inf2");
    assert.equal(manifest.versions.torch_neuronx, "2.9.0+stand.in");
    assert.deepEqual(manifest.compiler_args, ["--auto-cast=matmult", "--auto-cast-type=fp16"]);
    const device = existsSync("/dev/neuron0");
    for (const part of PARTS) {
      const calls = readFileSync(join(directory, "logs", "neuronx-cc", part, "calls.jsonl"), "utf8")
        .trim()
        .split("\n");
      assert.equal(calls.length, 1);
      assert.deepEqual(JSON.parse(calls[0] ?? ""), {
        compiler_args: [...manifest.compiler_args, ...(device ? [] : ["--target", "inf2"])],
        cpu_backend: !device,
      });
    }
  });

  it("leaves the directory as it was where the compiler, a stand-in, fails", () => {
    const directory = copy("failing");
    const before = writtenTimes(directory);
    const env = { PYTHONPATH: standIns, NEURON_STAND_IN_FAILS: "1" };
    const { status, stderr } = compile([directory, "--target", "inf2"], env);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /The Neuron compiler failed on vision_model: neuronx-cc failed with 70/);
    assert.deepEqual(writtenTimes(directory), before);
  });
});
