// The loader, which loads libtorch before an addon that does not say where it is; and what is said where libtorch does not load.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkLibtorchFile, explainLibtorchError } from "../../dist/torch/load-error.js";
import { chosenBinary } from "../../dist/torch/native.js";
import { fails } from "../helpers.ts";

const loader = join(dirname(chosenBinary().addon), "loader.node");

// ELF libraries; macOS has others.
const describeOnLinux = process.platform === "linux" ? describe : () => {};

describeOnLinux("the loader", () => {
  let work = "";

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-loader-"));
  });

  afterEach(() => rmSync(work, { recursive: true, force: true }));

  function compile(name: string, code: string): string {
    const [source, library] = [join(work, "source.c"), join(work, name)];
    writeFileSync(source, code);
    execFileSync("cc", ["-shared", "-fPIC", `-Wl,-soname,${name}`, "-o", library, source], { stdio: "pipe" });
    return library;
  }

  /** Loads libraries in another process. @returns what the last of them says of itself, or what was thrown. */
  function load(...libraries: unknown[]): string {
    const script = `const { load } = require(${JSON.stringify(loader)});
      try { for (const library of ${JSON.stringify(libraries)}) load(library); console.log("loaded"); }
      catch (error) { console.log(error.message); }`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout.trim();
  }

  it("gives a library's symbols to those that are loaded later, and finds one that is loaded by its name", () => {
    const first = compile("libfirst_of_test.so", "int first_of_test(void) { return 1; }");
    const second = compile(
      "libsecond_of_test.so",
      "int first_of_test(void); int second(void) { return first_of_test(); }",
    );
    assert.match(load(second), /libsecond_of_test\.so: undefined symbol: first_of_test/);
    assert.equal(load(first, second), "loaded");
  });

  it("says the system's words for what it cannot load, and refuses what is no path", () => {
    assert.match(load(join(work, "none.so")), /none\.so: cannot open shared object file/);
    writeFileSync(join(work, "text.so"), "no library\n".repeat(100));
    assert.match(load(join(work, "text.so")), /invalid ELF header/);
    for (const wrong of [1, null, {}]) assert.equal(load(wrong), "load takes a path");
  });

  it("says of a libtorch that is gone, cut, foreign or does not load what is the matter, and what to do", () => {
    const gone = join(work, "libc10.so");
    assert.throws(() => checkLibtorchFile(gone), fails("LIBTORCH_NOT_FOUND", /libc10\.so" is not there.*Install/));
    const whole = compile("libtorch_cpu.so", "int unused;");
    checkLibtorchFile(whole);
    writeFileSync(join(work, "cut.so"), readFileSync(whole).subarray(0, 2000));
    assert.throws(() => checkLibtorchFile(join(work, "cut.so")), fails("LIBTORCH_NOT_FOUND", /is cut short.*Install/));
    const foreign = readFileSync(whole);
    foreign.writeUInt16LE(process.arch === "x64" ? 183 : 62, 18);
    writeFileSync(join(work, "foreign.so"), foreign);
    const told = explainLibtorchError(join(work, "foreign.so"), new Error("wrong ELF class"));
    fails("LIBTORCH_NOT_FOUND", /libtorch ".*foreign\.so" is for linux-\w+, and this is/)(told);
    const lacking = explainLibtorchError(whole, new Error("libcupti.so.13: cannot open shared object file"));
    fails("LIBTORCH_NOT_FOUND", /does not load here \(libcupti.*NEURON_BLIP_LIBTORCH.*doctor/)(lacking);
  });
});
