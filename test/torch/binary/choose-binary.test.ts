// Which addon and libtorch are chosen, on hosts made up of files that look like them. Nothing is loaded.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { BinaryHost } from "../../../dist/torch/binary/binary-host.js";
import { binaryHost, chooseBinary } from "../../../dist/torch/binary/choose-binary.js";
import { fails } from "../../helpers.ts";

const PLATFORM = "linux-x64";
const VERSION = "0.1.0";
const NEURON = "opt/aws_neuronx_venv_pytorch_2_9";
const extension = process.platform === "darwin" ? "dylib" : "so";

describe("choosing the addon and its libtorch", () => {
  let work = "";
  let env: Record<string, string>;
  const at = (...names: string[]) => join(work, ...names);

  beforeEach(() => {
    work = mkdtempSync(join(tmpdir(), "neuron-blip-choose-"));
    env = { HOME: at("home") };
  });

  afterEach(() => rmSync(work, { recursive: true, force: true }));

  function write(path: string, text = ""): string {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** What looks like a torch package. */
  function makeTorch(directory: string, version: string, abi = 1): string {
    const text = abi === 1 ? "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE" : "Ss";
    write(join(directory, "lib", `libc10.${extension}`), `\0_ZN3c106detail14torchCheckFailEPKcS2_jRK${text}\0`);
    write(join(directory, "lib", `libtorch_cpu.${extension}`));
    write(join(directory, "version.py"), `__version__ = '${version}'\n`);
    return directory;
  }

  const makeVenv = (name: string, version: string, abi = 1) => {
    makeTorch(at(name, "lib/python3.11/site-packages/torch"), version, abi);
    return at(name);
  };

  /** The two packages of the platform, with addons for these minor versions. */
  function install({ minors = ["2.13"], libtorch = "2.13.0", version = VERSION, abi = 1 } = {}): void {
    const addons = at("node_modules/@neuron-blip", PLATFORM);
    write(join(addons, "package.json"), JSON.stringify({ version }));
    write(join(addons, "loader.node"));
    for (const minor of minors) {
      write(join(addons, `torch-${minor}`, "neuron_blip.node"));
      write(join(addons, `torch-${minor}`, "neuron_blip.json"), JSON.stringify({ cxx11Abi: abi }));
    }
    const torch = at("node_modules/@neuron-blip", `libtorch-${PLATFORM}`);
    write(join(torch, "package.json"), JSON.stringify({ version: libtorch }));
    makeTorch(torch, libtorch);
  }

  /** An addon that `neuron-blip build` made so many seconds ago. */
  function build(name: string, libDir: string, version: string, seconds = 0): string {
    const directory = at("home/.cache/neuron-blip/addons", `${VERSION}-${process.platform}-${process.arch}`, name);
    const settings = { libtorch: { version, libDir } };
    write(join(directory, "Release/neuron_blip.json"), JSON.stringify({ settings }));
    const addon = write(join(directory, "Release/neuron_blip.node"));
    const time = Date.now() / 1000 - seconds;
    utimesSync(addon, time, time);
    return addon;
  }

  function choose(options: Partial<BinaryHost> = {}) {
    const findPackage = (name: string) => {
      const directory = at("node_modules", name);
      return name.startsWith("@neuron-blip/") && existing(directory) ? directory : undefined;
    };
    const own = () => ({ directory: at("node_modules/neuron-blip"), version: VERSION, findPackage });
    return chooseBinary(binaryHost({ env, root: work, platform: PLATFORM, own, ...options }));
  }

  function existing(directory: string): boolean {
    try {
      chmodSync(directory, 0o755);
      return true;
    } catch {
      return false;
    }
  }

  /** Asserts that nothing can be chosen, and what is said of it. */
  function failing(code: "ADDON_NOT_BUILT" | "LIBTORCH_NOT_FOUND", ...messages: RegExp[]): void {
    const { chosen, error } = choose();
    assert.equal(chosen, undefined);
    for (const message of messages) fails(code, message)(error);
    assert(error !== undefined && error.message.length < 1000 && !error.message.includes("…."), error?.message);
  }

  const packaged = (minor: string) => at("node_modules/@neuron-blip", PLATFORM, `torch-${minor}`, "neuron_blip.node");

  it("takes each place in its turn", () => {
    install({ minors: ["2.13", "2.14"] });
    let found = choose().chosen;
    const libDir = at("node_modules/@neuron-blip", `libtorch-${PLATFORM}`, "lib");
    assert.equal(found?.addon, packaged("2.13"));
    assert.deepEqual(found?.libtorch, {
      version: "2.13.0",
      libDir,
      libraries: [join(libDir, `libc10.${extension}`), join(libDir, `libtorch_cpu.${extension}`)],
      loader: at("node_modules/@neuron-blip", PLATFORM, "loader.node"),
    });

    makeVenv(NEURON, "2.13.1");
    found = choose().chosen;
    assert.equal(found?.libtorch?.version, "2.13.1");
    assert.match(found?.why ?? "", /AWS Neuron's Python environment/);

    env.CONDA_PREFIX = makeVenv("conda", "2.14.0");
    found = choose().chosen;
    assert.equal(found?.addon, packaged("2.14"));
    assert.equal(found?.libtorch?.libDir, at("conda/lib/python3.11/site-packages/torch/lib"));

    env.VIRTUAL_ENV = makeVenv("venv", "2.14.1+cu130");
    assert.equal(choose().chosen?.libtorch?.version, "2.14.1+cu130");

    const built = build("own", join(makeTorch(at("elsewhere"), "2.9.0"), "lib"), "2.9.0");
    assert.deepEqual([choose().chosen?.addon, choose().chosen?.libtorch], [built, undefined]);

    env.NEURON_BLIP_LIBTORCH = makeTorch(at("named"), "2.13.2");
    assert.equal(choose().chosen?.libtorch?.version, "2.13.2");

    const source = write(at("node_modules/neuron-blip/build/Release/neuron_blip.node"));
    assert.deepEqual(choose().chosen, { addon: source, why: "it was built from source in this directory" });

    env.NEURON_BLIP_ADDON = "/nowhere/addon.node";
    assert.deepEqual(choose().chosen, { addon: "/nowhere/addon.node", why: "NEURON_BLIP_ADDON names it" });
  });

  it("takes the addon that was built for the libtorch that is named, else the last built whose libtorch is still there", () => {
    install();
    const [old, other] = [makeTorch(at("old"), "2.9.0"), makeTorch(at("other"), "2.10.0")];
    const first = build("first", join(old, "lib"), "2.9.0", 20);
    const last = build("last", join(other, "lib"), "2.10.0", 10);
    assert.equal(choose().chosen?.addon, last);
    env.NEURON_BLIP_LIBTORCH = old;
    assert.equal(choose().chosen?.addon, first);
    delete env.NEURON_BLIP_LIBTORCH;

    makeTorch(other, "2.11.0");
    assert.equal(choose().chosen?.addon, first);
    assert.match(choose().passedOver.join(), /last.*was built with libtorch 2\.10\.0, and .* now has 2\.11\.0/);
    rmSync(old, { recursive: true });
    assert.equal(choose().chosen?.addon, packaged("2.13"));
    assert.match(choose().passedOver.join(), /first.*libtorch is no longer in/);
  });

  it("finds a libtorch that is named by its package, its environment, or the archive that it came in", () => {
    install();
    const venv = makeVenv("venv", "2.13.0");
    const archive = at("libtorch");
    for (const name of ["c10", "torch_cpu"]) write(join(archive, "lib", `lib${name}.${extension}`));
    write(join(archive, "build-version"), "2.13.5+cpu\n");
    for (const [named, version] of [
      [venv, "2.13.0"],
      [join(venv, "lib/python3.11/site-packages"), "2.13.0"],
      [join(venv, "lib/python3.11/site-packages/torch"), "2.13.0"],
      [archive, "2.13.5+cpu"],
    ] as const) {
      env.NEURON_BLIP_LIBTORCH = named;
      assert.equal(choose().chosen?.libtorch?.version, version, named);
    }
  });

  it("never takes an addon of another minor version or C++ ABI: an error where the libtorch was named", () => {
    install({ minors: ["2.5", "2.13"] });
    env.NEURON_BLIP_LIBTORCH = makeTorch(at("named"), "2.9.1+cpu");
    failing(
      "ADDON_NOT_BUILT",
      /libtorch 2\.9\.1\+cpu .*has addons for torch 2\.13, 2\.5 alone.*`npx neuron-blip build --libtorch \/.*named`/,
    );
    env.NEURON_BLIP_LIBTORCH = makeTorch(at("old"), "2.5.1", 0);
    failing("ADDON_NOT_BUILT", /libtorch 2\.5\.1/);
    env.NEURON_BLIP_LIBTORCH = makeTorch(at("new"), "2.5.1", 1);
    assert.equal(choose().chosen?.addon, packaged("2.5"));
  });

  it("passes over an ordinary environment of another minor version, and says so", () => {
    install();
    env.VIRTUAL_ENV = makeVenv("venv", "2.12.0");
    const { chosen, passedOver } = choose();
    assert.equal(chosen?.addon, packaged("2.13"));
    assert.match(
      passedOver.join(),
      /libtorch 2\.12\.0 \(the active Python environment, VIRTUAL_ENV: .*torch 2\.13 alone/,
    );
  });

  it("asks for a build where a Neuron environment has no addon and the host has NeuronCores, active or not", () => {
    install();
    makeVenv(NEURON, "2.9.0");
    assert.equal(choose().chosen?.addon, packaged("2.13"));
    write(at("dev/neuron0"));
    failing("ADDON_NOT_BUILT", /libtorch 2\.9\.0 \(AWS Neuron's.*`npx neuron-blip build --libtorch .*pytorch_2_9/);
    env.VIRTUAL_ENV = at(NEURON);
    failing("ADDON_NOT_BUILT", /`npx neuron-blip build --libtorch .*pytorch_2_9/);
    // One made by hand.
    env.VIRTUAL_ENV = makeVenv("own", "2.8.0");
    mkdirSync(at("own/lib/python3.11/site-packages/torch_neuronx"));
    failing("ADDON_NOT_BUILT", /libtorch 2\.8\.0/);
    const built = build("neuron", at("own/lib/python3.11/site-packages/torch/lib"), "2.8.0");
    assert.equal(choose().chosen?.addon, built);
  });

  it("says of a named directory without a libtorch that it has none, or does not exist", () => {
    install();
    env.NEURON_BLIP_LIBTORCH = at("none");
    failing("LIBTORCH_NOT_FOUND", /NEURON_BLIP_LIBTORCH is ".*none": it does not exist.*Correct it, or unset it/);
    env.NEURON_BLIP_LIBTORCH = work;
    failing("LIBTORCH_NOT_FOUND", /there is no libtorch in it/);
  });

  it("names every place and the commands where there is nothing", () => {
    failing(
      "ADDON_NOT_BUILT",
      /Looked at: .*neuron-blip\/build or .*home\/\.cache\/neuron-blip\/addons.*VIRTUAL_ENV is not set.*no AWS Neuron environment/,
      /package @neuron-blip\/linux-x64: is not installed; package @neuron-blip\/libtorch-linux-x64: is not installed/,
      /`npm install --include=optional neuron-blip`; or build one here, .*: `npx neuron-blip build`/,
    );
    install({ version: "0.0.9" });
    failing("ADDON_NOT_BUILT", /package @neuron-blip\/linux-x64: is version 0\.0\.9, and neuron-blip is 0\.1\.0/);
    install({ libtorch: "2.14.0" });
    failing("ADDON_NOT_BUILT", /linux-x64: has addons for torch 2\.13 alone; package .*: has libtorch 2\.14\.0/);
    rmSync(at("node_modules/@neuron-blip", PLATFORM, "loader.node"));
    rmSync(at("node_modules/@neuron-blip", `libtorch-${PLATFORM}`, "lib"), { recursive: true });
    failing("ADDON_NOT_BUILT", /linux-x64: has no binaries \(.*\); package .*libtorch-linux-x64: has no binaries/);
  });

  it("says where no binaries are published for a platform, and how to build", () => {
    const { error } = choose({ platform: "darwin-arm64" });
    assert.match(
      error?.message ?? "",
      /No binaries are published for darwin-arm64: build one here.*`npx neuron-blip build`/,
    );
  });
});
