// Why the addon or its libtorch does not load: each reason has its own message. Small libraries stand in for both.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chosenBinary } from "../../dist/torch/native.js";

const child = fileURLToPath(new URL("../children/load-addon.mjs", import.meta.url));
const otherArch = process.arch === "x64" ? { name: "arm64", machine: 183 } : { name: "x64", machine: 62 };

/** What a process of a user who owns nothing says of an addon. */
function load(path: string): { code: string; message: string } {
  const env = { ...process.env, NEURON_BLIP_ADDON: path };
  const { stdout, stderr } = spawnSync(process.execPath, [child], { encoding: "utf8", env });
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout);
}

function fails(path: string, code: string, message: RegExp): void {
  const found = load(path);
  assert.equal(found.code, code, found.message);
  assert.match(found.message, message);
  assert(found.message.length <= 1000 && !found.message.includes("\n"), found.message);
}

// ELF libraries; macOS has others.
const describeOnLinux = process.platform === "linux" ? describe : () => {};

describeOnLinux("an addon that does not load", () => {
  let work = "";
  const at = (...names: string[]) => join(work, ...names);

  /** A copy of the addon, changed. */
  function changed(name: string, change: (bytes: Buffer) => Buffer): string {
    const path = at(name);
    writeFileSync(path, change(readFileSync(chosenBinary().addon)));
    return path;
  }

  /** A small library. */
  function compile(name: string, code: string, ...args: string[]): string {
    const source = at("source.c");
    writeFileSync(source, code);
    execFileSync("cc", ["-shared", "-fPIC", "-Wl,--no-as-needed", "-o", at(name), source, ...args], { stdio: "pipe" });
    return at(name);
  }

  /** An addon that needs a library, which is in `lib` when it is linked. */
  function needing(name: string, library: string, code = "int unused;"): string {
    mkdirSync(at("lib"), { recursive: true });
    compile(join("lib", library), "int unused;", `-Wl,-soname,${library}`);
    return compile(name, code, at("lib", library), `-Wl,-rpath,${at("lib")}`, "-Wl,-z,now");
  }

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-addon-"));
    chmodSync(work, 0o755);
  });

  afterEach(() => {
    for (const name of ["lib", "closed"]) mkdirSync(at(name), { recursive: true });
    for (const name of ["lib", "closed"]) chmodSync(at(name), 0o755);
    rmSync(work, { recursive: true, force: true });
  });

  it("is missing", () => {
    fails(at("none.node"), "ADDON_NOT_BUILT", /is not built \(no ".*none\.node"\).*`npx neuron-blip build`/);
  });

  it("may not be read by this user, itself or its directory", () => {
    const unreadable = changed("unreadable.node", (bytes) => bytes);
    chmodSync(unreadable, 0);
    fails(unreadable, "ADDON_NOT_BUILT", /addon ".*unreadable\.node" may not be read by this user \(uid \d+\)/);
    mkdirSync(at("closed"));
    cpSync(chosenBinary().addon, at("closed", "inside.node"));
    chmodSync(at("closed"), 0);
    fails(at("closed", "inside.node"), "ADDON_NOT_BUILT", /may not be read by this user.*enter its directories/);
  });

  it("is for another system or processor, or damaged", () => {
    const here = `${process.platform}-${process.arch}`;
    const forOther = new RegExp(`is for linux-${otherArch.name}, and this is ${here}`);
    const withMachine = (machine: number) => (bytes: Buffer) => {
      bytes.writeUInt16LE(machine, 18);
      return bytes;
    };
    fails(changed("arch.node", withMachine(otherArch.machine)), "ADDON_NOT_BUILT", forOther);
    fails(changed("narrow.node", withMachine(3)), "ADDON_NOT_BUILT", /is for linux-ia32, and this is/);
    const mac = Buffer.alloc(4096);
    mac.writeUInt32LE(0xfeedfacf, 0);
    mac.writeUInt32LE(0x0100000c, 4);
    fails(
      changed("mac.node", () => mac),
      "ADDON_NOT_BUILT",
      /is for darwin-arm64, and this is/,
    );
    fails(
      changed("windows.node", () => Buffer.from("MZ".padEnd(128, "\0"))),
      "ADDON_NOT_BUILT",
      /is for win32/,
    );
    for (const damaged of [Buffer.alloc(0), Buffer.alloc(4096), Buffer.from("not a library\n".repeat(20))]) {
      fails(
        changed("damaged.node", () => damaged),
        "ADDON_NOT_BUILT",
        /is damaged: it is no shared library.*build --force/,
      );
    }
    fails(
      changed("cut.node", (bytes) => bytes.subarray(0, 1000)),
      "ADDON_NOT_BUILT",
      /is cut short/,
    );
  });

  it("is for musl, on glibc", () => {
    const musl = `libc.musl-${process.arch}.so.1`;
    const addon = needing("musl.node", musl);
    rmSync(at("lib", musl));
    fails(addon, "ADDON_NOT_BUILT", /was built for musl \(Alpine Linux\), and this Node runs on glibc/);
  });

  it("is for glibc, on musl, as musl's loader words it", async () => {
    const { explainLoadError } = await import("../../dist/torch/load-error.js");
    for (const reason of [
      "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /app/neuron_blip.node)",
      "Error relocating /app/neuron_blip.node: __memcpy_chk: symbol not found",
    ]) {
      const { code, message } = explainLoadError(chosenBinary().addon, new Error(reason));
      assert.equal(code, "ADDON_NOT_BUILT");
      assert.match(message, /is for glibc, and this Node runs on musl.*node:20-slim/);
    }
  });

  it("was built for another Node", () => {
    const code = "extern int node_api_of_the_future(void); int use(void) { return node_api_of_the_future(); }";
    fails(
      compile("future.node", code, "-Wl,-z,now"),
      "ADDON_NOT_BUILT",
      /was built for another Node than this one, v\d+/,
    );
    fails(compile("none.node", "int unused;"), "ADDON_NOT_BUILT", /was built for another Node than this one/);
  });

  it("needs a library that is not libtorch's", () => {
    const addon = needing("lacking.node", "libneuron_blip_nowhere.so");
    rmSync(at("lib", "libneuron_blip_nowhere.so"));
    fails(addon, "ADDON_NOT_BUILT", /needs libneuron_blip_nowhere\.so, which this host has not/);
  });

  describe("for want of its libtorch", () => {
    const library = "libtorch_of_test.so";

    it("which is gone", () => {
      const addon = needing("gone.node", library);
      rmSync(at("lib", library));
      fails(addon, "LIBTORCH_NOT_FOUND", /is no longer there.*looked in .*lib\).*`npx neuron-blip build`/);
    });

    it("which this user may not read, itself or its directory", () => {
      const addon = needing("unreadable.node", library);
      chmodSync(at("lib", library), 0);
      fails(addon, "LIBTORCH_NOT_FOUND", /libtorch ".*libtorch_of_test\.so" may not be read by this user \(uid \d+\)/);
      chmodSync(at("lib", library), 0o644);
      chmodSync(at("lib"), 0);
      fails(addon, "LIBTORCH_NOT_FOUND", /may not be read by this user.*NEURON_BLIP_CACHE/);
    });

    it("which is for another processor, or damaged", () => {
      const addon = needing("foreign.node", library);
      const bytes = readFileSync(at("lib", library));
      bytes.writeUInt16LE(otherArch.machine, 18);
      writeFileSync(at("lib", library), bytes);
      fails(addon, "LIBTORCH_NOT_FOUND", new RegExp(`libtorch ".*" is for linux-${otherArch.name}, and this is`));
      writeFileSync(at("lib", library), "an unfinished download".repeat(20));
      fails(addon, "LIBTORCH_NOT_FOUND", /libtorch ".*" is damaged/);
    });

    it("which is of another version", () => {
      const code = "extern int _ZN3c105errorEv(void); int use(void) { return _ZN3c105errorEv(); }";
      const message = /another version than neuron-blip was built with.*build --force/;
      fails(needing("version.node", library, code), "LIBTORCH_NOT_FOUND", message);
    });
  });
});
