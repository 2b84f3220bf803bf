// Which libtorch the build would take, on hosts made up of files that look like one; and what it says where it cannot build.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const scripts = fileURLToPath(new URL("../../scripts/addon", import.meta.url));
const build = join(scripts, "build.mjs");
const extension = process.platform === "darwin" ? "dylib" : "so";

describe("finding libtorch", function () {
  this.timeout(30_000);
  let work = "";
  let host = "";
  let bin = "";

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-libtorch-"));
    host = join(work, "host");
    bin = join(work, "bin");
    mkdirSync(host);
    mkdirSync(bin);
  });

  afterEach(() => rmSync(work, { recursive: true, force: true }));

  /** Puts what looks like libtorch into a directory. */
  function makeLibtorch(directory: string, version: string, { abi = 1, cuda = false } = {}): string {
    const headers = join(directory, "include/torch/csrc/api/include/torch");
    mkdirSync(headers, { recursive: true });
    mkdirSync(join(directory, "lib"), { recursive: true });
    const parts = ["MAJOR", "MINOR", "PATCH"].map(
      (part, i) => `#define TORCH_VERSION_${part} ${version.split(".")[i]}\n`,
    );
    writeFileSync(join(headers, "version.h"), parts.join(""));
    writeFileSync(join(headers, "torch.h"), "");
    const text = abi === 1 ? "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE" : "Ss";
    writeFileSync(join(directory, "lib", `libc10.${extension}`), `\0_ZN3c106detail14torchCheckFailEPKcS2_jRK${text}\0`);
    for (const name of cuda ? ["torch_cpu", "torch_cuda"] : ["torch_cpu"]) {
      writeFileSync(join(directory, "lib", `lib${name}.${extension}`), "");
    }
    return directory;
  }

  /** Makes a Python that says it has torch in a directory. */
  function makePython(path: string, torch: string): void {
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `#!/bin/sh\necho "${torch}"\n`, { mode: 0o755 });
  }

  /** What findLibtorch finds there, or the message that it fails with, and what it says meanwhile. */
  function find(env: Record<string, string> = {}) {
    const script = `
      import { findLibtorch } from ${JSON.stringify(pathToFileURL(join(scripts, "libtorch.mjs")).href)};
      const lines = [];
      const log = (line) => lines.push(line);
      const found = await findLibtorch({ log, hostRoot: ${JSON.stringify(host)} }).catch((error) => error);
      console.log(JSON.stringify({ found, message: found.message, name: found.name, log: lines.join("\\n") }));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      env: { PATH: bin, HOME: work, NEURON_BLIP_NO_DOWNLOAD: "1", ...env },
    });
    assert.equal(stderr, "");
    return JSON.parse(stdout);
  }

  it("takes each place in its turn: environment, Python, Neuron's environment, system, cache", () => {
    const cache = makeLibtorch(join(work, ".cache/neuron-blip/libtorch-2.13.0-cpu/torch"), "2.13.0");
    assert.deepEqual(find().found.libDir, join(cache, "lib"));
    assert.equal(find().found.origin, "cache");

    const system = makeLibtorch(join(host, "usr"), "1.13.1");
    assert.equal(find().found.libDir, join(system, "lib"));
    assert.equal(find().found.origin, "system");

    makeLibtorch(join(host, "opt/aws_neuronx_venv_pytorch_2_10/lib/python3.11/site-packages/torch"), "2.10.0");
    makeLibtorch(join(host, "opt/aws_neuronx_venv_pytorch_2_9/lib/python3.11/site-packages/torch"), "2.9.0");
    assert.equal(find().found.version, "2.10.0");
    assert.equal(find().found.origin, "neuron-venv");

    makePython(join(bin, "python3"), makeLibtorch(join(work, "on-path"), "2.6.0"));
    assert.equal(find().found.version, "2.6.0");
    assert.equal(find().found.origin, "python");
    makePython(join(work, "venv/bin/python"), makeLibtorch(join(work, "in-venv"), "2.7.0"));
    assert.equal(find({ VIRTUAL_ENV: join(work, "venv") }).found.version, "2.7.0");

    const own = makeLibtorch(join(work, "own"), "2.8.0");
    assert.equal(find({ NEURON_BLIP_LIBTORCH: own, VIRTUAL_ENV: join(work, "venv") }).found.version, "2.8.0");
  });

  it("reads the C++ ABI, the CUDA mark and the include directories", () => {
    const old = makeLibtorch(join(work, "old"), "2.5.1", { abi: 0, cuda: true });
    const { found } = find({ NEURON_BLIP_LIBTORCH: old });
    assert.equal(found.cxx11Abi, 0);
    assert.equal(found.cuda, true);
    assert.deepEqual(found.includeDirs, [join(old, "include"), join(old, "include/torch/csrc/api/include")]);
    const { found: newer } = find({ NEURON_BLIP_LIBTORCH: makeLibtorch(join(work, "new"), "2.7.0") });
    assert.equal(newer.cxx11Abi, 1);
    assert.equal(newer.cuda, false);
  });

  it("takes a virtual environment or a directory above the torch package in the environment variable", () => {
    const torch = makeLibtorch(join(work, "venv/lib/python3.12/site-packages/torch"), "2.9.0");
    for (const given of [join(work, "venv"), join(torch, ".."), torch]) {
      assert.equal(find({ NEURON_BLIP_LIBTORCH: given }).found.libDir, join(torch, "lib"));
    }
  });

  it("refuses an environment variable that names no libtorch, rather than looking on", () => {
    makeLibtorch(join(host, "usr"), "2.13.0");
    const nowhere = find({ NEURON_BLIP_LIBTORCH: join(work, "nowhere") });
    assert.equal(nowhere.name, "SetupError");
    assert.match(nowhere.message, /NEURON_BLIP_LIBTORCH=.*nowhere.*does not exist/);
    const empty = find({ NEURON_BLIP_LIBTORCH: work });
    assert.match(empty.message, /no libtorch there\. It must name a libtorch directory/);
    const old = find({ NEURON_BLIP_LIBTORCH: makeLibtorch(join(work, "old"), "1.12.1") });
    assert.match(old.message, /version 1\.12\.1, and the oldest that works is 1\.13/);
  });

  it("passes over a libtorch that is too old, and says why", () => {
    makePython(join(bin, "python3"), makeLibtorch(join(work, "old"), "1.9.0"));
    makeLibtorch(join(host, "usr"), "1.13.1");
    const { found, log } = find();
    assert.equal(found.version, "1.13.1");
    assert.match(log, /not using libtorch 1\.9\.0 .*oldest that works is 1\.13/);
  });

  it("says how to go on where there is none and fetching is forbidden, or not possible", () => {
    assert.match(find().message, /NEURON_BLIP_NO_DOWNLOAD forbids.*NEURON_BLIP_LIBTORCH/);
    const noPython = find({ NEURON_BLIP_NO_DOWNLOAD: "0" });
    assert.match(noPython.message, /needs Python 3 with pip, but there is no Python\. Install it: .*install.*python/);
    writeFileSync(join(bin, "python3"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    assert.match(find({ NEURON_BLIP_NO_DOWNLOAD: "" }).message, /python3 has no pip\. Install it: .*python/);
    assert(!existsSync(join(work, ".cache")));
  });

  describe("that is fetched", () => {
    const content = "the bytes of a wheel";
    const sha256 = createHash("sha256").update(content).digest("hex");
    const known = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl";

    /** Makes a Python whose pip "downloads" a file of that name, and which "unpacks" it to what looks like libtorch. */
    function makePip(file: string): void {
      const torch = makeLibtorch(join(work, "wheel/torch"), "2.13.0");
      const script = `#!/bin/sh
case "$*" in
  *find_spec*) echo ;;
  *"pip --version"*) ;;
  *"pip download"*)
    while [ "$1" != --dest ]; do shift; done
    /bin/mkdir -p "$2"; printf '%s' "${content}" > "$2/${file}" ;;
  *) /bin/mkdir -p "$4"; /bin/cp -r ${torch} "$4/torch" ;;
esac
`;
      writeFileSync(join(bin, "python3"), script, { mode: 0o755 });
    }

    const fetching = { NEURON_BLIP_NO_DOWNLOAD: "" };
    const cache = () =>
      existsSync(join(work, ".cache/neuron-blip")) ? readdirSync(join(work, ".cache/neuron-blip")) : [];

    it("is refused and removed where it is not one of the known files, or not what its name says", () => {
      for (const [file, why] of [
        ["torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "is not one of the files that are known"],
        [known, "is not the file of that name that is known"],
      ] as const) {
        makePip(file);
        const { name, message } = find(fetching);
        assert.equal(name, "SetupError");
        assert(message.includes(`${file} ${why}`), message);
        assert(message.includes(`Its SHA-256 is ${sha256}`), message);
        assert.match(
          message,
          new RegExp(`[0-9a-f]{64} {2}${known.replaceAll(/[.+]/g, "\\$&")}\n.*NEURON_BLIP_LIBTORCH_SHA256`),
        );
        assert.deepEqual(cache(), []);
      }
    });

    it("is taken where the user vouches for it, and for no other", () => {
      makePip("torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl");
      const vouch = (hash: string) => find({ ...fetching, NEURON_BLIP_LIBTORCH_SHA256: hash });
      assert.match(vouch("0".repeat(64)).message, /is not one of the files that are known/);
      assert.match(vouch("abc").message, /must be a SHA-256, 64 hexadecimal digits, not "abc"/);
      assert.deepEqual(cache(), []);
      assert.equal(vouch(sha256.toUpperCase()).found.origin, "cache");
      assert.deepEqual(cache(), ["libtorch-2.13.0-cpu"]);
    });
  });

  it("builds nothing where all is up to date", () => {
    const addon = fileURLToPath(new URL("../../build/Release/neuron_blip.node", import.meta.url));
    const before = statSync(addon).mtimeMs;
    const start = performance.now();
    const { status, stdout } = spawnSync(process.execPath, [build], { encoding: "utf8" });
    assert.equal(status, 0);
    assert.equal(stdout, "");
    assert.equal(statSync(addon).mtimeMs, before);
    assert(performance.now() - start < 10_000);
  });

  it("says which tools are missing before anything is built, and leaves what is built alone", () => {
    const stamp = fileURLToPath(new URL("../../build/Release/neuron_blip.json", import.meta.url));
    const before = readFileSync(stamp);
    symlinkSync(process.execPath, join(bin, "node"));
    const libtorch = makeLibtorch(join(work, "other"), "2.13.0");
    const env = { PATH: bin, HOME: work, NEURON_BLIP_LIBTORCH: libtorch };
    const { status, stderr } = spawnSync(process.execPath, [build], { encoding: "utf8", env });
    assert.equal(status, 1);
    assert.match(stderr, /lacks CMake and make and a C\+\+20 compiler\. Install: .*install/);
    assert.deepEqual(readFileSync(stamp), before);
  });

  it("looks for the compiler before anything is fetched, be it libtorch or cmake-js", () => {
    symlinkSync(process.execPath, join(bin, "node"));
    // A Python that would be asked to fetch.
    writeFileSync(join(bin, "python3"), `#!/bin/sh\ncase "$*" in *download*) echo >${join(work, "fetched")};; esac\n`, {
      mode: 0o755,
    });
    const into = join(work, "into");
    const args = [build, "--into", into];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env: { PATH: bin, HOME: work } });
    assert.equal(status, 1);
    assert.match(stderr, /lacks CMake and make and a C\+\+20 compiler/);
    assert(!existsSync(join(work, "fetched")) && !existsSync(join(work, ".cache")));
  });

  it("takes the directory of --libtorch, and says where there is none in it", () => {
    const args = [build, "--into", join(work, "into"), "--libtorch", join(work, "nowhere")];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env: { PATH: bin, HOME: work } });
    assert.equal(status, 1);
    assert.match(stderr, /--libtorch=.*nowhere: no libtorch there, the directory does not exist/);
  });

  it("exits with 2 for wrong options", () => {
    for (const [option, message] of [
      ["--faster", /--faster/],
      ["--jobs=none", /--jobs takes a number of 1 or more, not "none"/],
    ] as [string, RegExp][]) {
      const { status, stderr } = spawnSync(process.execPath, [build, option], { encoding: "utf8" });
      assert.equal(status, 2);
      assert.match(stderr, message);
    }
  });
});
