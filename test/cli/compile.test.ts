// `neuron-blip compile` as far as it goes without torch; test/slow/python/compile.test.ts goes further.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const requirements = realpathSync(fileURLToPath(new URL("../../scripts/compile/requirements.txt", import.meta.url)));

describe("neuron-blip compile", () => {
  let work = "";

  /** Compiles with a Python that cannot import torch, whatever is installed. */
  function compile(...args: string[]) {
    const env = { ...process.env, PYTHONPATH: join(work, "without-torch") };
    return spawnSync(process.execPath, [main, "compile", ...args], { encoding: "utf8", env });
  }

  before(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-compile-"));
    mkdirSync(join(work, "without-torch"));
    writeFileSync(join(work, "without-torch", "torch.py"), 'raise ImportError("hidden by the test")\n');
  });

  after(() => rmSync(work, { recursive: true, force: true }));

  it("has a help, under the name it is run by", () => {
    const { status, stdout, stderr } = compile("--help");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^usage: neuron-blip compile /);
    assert.doesNotMatch(stdout, /trace\.py/);
    assert(stdout.includes(requirements), stdout);
  });

  it("exits with 2 for wrong arguments, and says which", () => {
    for (const [args, message] of [
      [
        [],
        /^neuron-blip compile: error: [^\n]*required: MODEL, DIR\. `neuron-blip compile --help` lists the arguments\.\n$/,
      ],
      [["model", "dir"], /required: --target/],
      [["model", "dir", "--targt", "cpu"], /unrecognized arguments: --targt cpu\. Did you mean --target\?/],
      [["model", "dir", "--target", "gpu"], /invalid choice: 'gpu'/],
      [["model", "dir", "--target", "cpu", "--batch-size", "1", "many"], /--batch-size: invalid int value: 'many'/],
      [["model", "dir", "--target", "cpu", "--batch-size"], /--batch-size: expected at least one argument/],
      [["model", "dir", "--target", "cpu", "--loud"], /unrecognized arguments: --loud/],
      [
        ["model", "dir", "--target", "cpu", "--batch-szie", "2"],
        /unrecognized arguments: --batch-szie 2\. Did you mean --batch-size\?/,
      ],
    ] as [string[], RegExp][]) {
      const { status, stderr } = compile(...args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
      assert.match(stderr, /^neuron-blip compile: error: /m);
    }
  });

  it("says in one line that its help cannot be written, and ends quietly where nobody reads it", () => {
    const shell = (redirected: string) =>
      spawnSync("sh", ["-c", `"$0" "$@" ${redirected}`, process.execPath, main, "compile", "--help"], {
        encoding: "utf8",
      });
    if (existsSync("/dev/full")) {
      const { status, stderr } = shell(">/dev/full");
      assert.equal(stderr, "error: cannot write the standard output: No space left on device.\n");
      assert.equal(status, 1);
    }
    assert.equal(shell("| true").stderr, "");
  });

  it("ends Python with it when it is ended by SIGTERM", () => {
    const shim = join(work, "waiting");
    mkdirSync(shim);
    // In place of torch: has the parent process ended, and waits for its own end. The alarm is for a parent that does not pass it on.
    const code = "import os, signal\nsignal.alarm(30)\nos.kill(os.getppid(), signal.SIGTERM)\nsignal.pause()\n";
    writeFileSync(join(shim, "torch.py"), code);
    const env = { ...process.env, PYTHONPATH: shim };
    const args = [main, "compile", "model", join(work, "ended"), "--target", "cpu"];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
    assert.equal(status, 128 + constants.signals.SIGTERM, stderr);
  });

  it("says that memory ran out where Python is killed, how much is needed, and that it goes on when run again", () => {
    const shim = join(work, "killed");
    mkdirSync(shim);
    writeFileSync(join(shim, "torch.py"), "import os\nos.kill(os.getpid(), 9)\n");
    const model = join(work, "large");
    mkdirSync(model);
    writeFileSync(join(model, "model.safetensors"), "");
    truncateSync(join(model, "model.safetensors"), 1.5e9); // takes no room on the disk
    const env = { ...process.env, PYTHONPATH: shim };
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [main, "compile", ...args], { encoding: "utf8", env });
    const { status, stderr } = run(model, join(work, "out"), "--target", "cpu");
    assert.equal(status, 1, stderr);
    assert.match(
      stderr,
      /was killed \(SIGKILL\).*memory runs out.*weights take 1\.5 GB, needs about 5\.5 GB\. This host has/,
    );
    assert.match(stderr, /Run the same command again: .*goes on from there\. \[COMPILE_FAILED\]\n$/);
    assert.match(
      run("some/model", "out", "--target", "inf2").stderr,
      /3 times the size of the model's weights.*Neuron compiler/,
    );
  });

  it("exits with 1 where DIR is a file, or the model itself", () => {
    const file = join(work, "file");
    writeFileSync(file, "not a directory");
    const toFile = compile("model", file, "--target", "cpu");
    assert.equal(toFile.status, 1);
    assert.equal(toFile.stderr, `error: "${file}" is a file. Give a directory to write the model to.\n`);

    const toModel = compile(work, join(work, "."), "--target", "cpu");
    assert.equal(toModel.status, 1);
    assert.match(toModel.stderr, /is the model itself\. Give another directory/);
  });

  it("exits with 1 without torch, names what to install, and writes nothing", () => {
    const directory = join(work, "compiled");
    const { status, stderr } = compile("model", directory, "--target", "cpu");
    assert.equal(status, 1, stderr);
    assert.match(stderr, /cannot import torch: hidden by the test/);
    assert.match(stderr, /pip install -r /);
    assert(stderr.includes(requirements), stderr);
    assert.doesNotMatch(stderr, /Traceback/);
    assert(!existsSync(directory));
  });
});
