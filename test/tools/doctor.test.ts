// `neuron-blip doctor` on hosts made up of files in a temporary directory. None of them is an Inf2 host: they show what the
// doctor makes of what it finds, not what such a host has.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { examine, type Report } from "../../dist/tools/doctor/doctor.js";
import type { DoctorOptions } from "../../dist/tools/doctor/examination.js";
import type { Status } from "../../dist/tools/doctor/finding.js";
import { render } from "../../dist/tools/doctor/render.js";
import { Host, type HostOptions } from "../../dist/tools/report/host.js";
import { compiledModel } from "../helpers.ts";

const NEW_ABI = "_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
const OLD_ABI = "_ZN3c106detail14torchCheckFailEPKcS2_jRKSs";
const SITE_PACKAGES = "opt/aws_neuronx_venv_pytorch_2_9/lib/python3.11/site-packages";
const LIBTORCHNEURON = `${SITE_PACKAGES}/torch_neuronx/lib/libtorchneuron.so`;

/** A made-up host: a directory that stands for its root, a `node` that answers for the native addon, and the rest. */
class MadeHost {
  readonly root = mkdtempSync(join(tmpdir(), "neuron-blip-doctor-"));
  readonly model = join(this.root, "model");
  readonly host: HostOptions & { env: Record<string, string> };
  readonly options: DoctorOptions = {};

  constructor() {
    const env = {
      PATH: join(this.root, "bin"),
      TMPDIR: join(this.root, "tmp"),
      NEURON_BLIP_ADDON: this.at("a/addon.node"),
    };
    this.host = {
      root: this.root,
      env,
      platform: "linux",
      arch: "x64",
      nodeVersion: "20.19.0",
      node: this.at("bin/node"),
      glibc: "2.36",
      cores: 4,
      freeBytes: async () => 100e9,
    };
    for (const directory of ["bin", "tmp", "answers", "dev"]) mkdirSync(this.at(directory));
    this.write("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:   12000000 kB\n");
    this.write("a/addon.node", "");
    const libtorch = {
      version: "2.9.0+cpu",
      origin: "neuron-venv",
      libDir: this.at(`${SITE_PACKAGES}/torch/lib`),
      cuda: true,
    };
    this.write("a/neuron_blip.json", JSON.stringify({ settings: { libtorch } }));
    // Answers as native-child.js does, with what lies in answers/; or crashes.
    this.program(
      "bin/node",
      `ulimit -c 0; cd ${this.at("answers")}
      if [ -f $2.crash ]; then echo "terminate called" >&2; kill -SEGV $$; fi
      echo "libraries may print"; echo "neuron-blip-doctor $(/bin/cat $2.json)"`,
    );
    this.answer("addon", { libtorchVersion: "2.9.0", cxx11Abi: 1, libraries: [this.at("libtorch_cpu.so")] });
  }

  at(path: string): string {
    return join(this.root, path);
  }

  write(path: string, text: string | Buffer): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), text);
  }

  remove(...paths: string[]): void {
    for (const path of paths) rmSync(this.at(path), { recursive: true });
  }

  program(path: string, script: string): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** What the child process says to a task. */
  answer(task: "addon" | "runtime" | "library" | "inspect", value: unknown): void {
    this.write(`answers/${task}.json`, JSON.stringify({ value }));
  }

  failure(task: "addon" | "runtime" | "library" | "inspect", reason: string, code?: string): void {
    this.write(`answers/${task}.json`, JSON.stringify({ failure: { reason, code } }));
  }

  crash(task: "addon" | "library"): void {
    this.write(`answers/${task}.crash`, "");
  }

  /** What neuron-ls says of one device with two cores. */
  processes(processes: object[]): void {
    const device = { neuron_device: 0, nc_count: 2, memory_size: 34359738368, neuroncore_ids: [0, 1] };
    this.program(
      "opt/aws/neuron/bin/neuron-ls",
      `echo '${JSON.stringify([{ ...device, neuron_processes: processes }])}'`,
    );
  }

  /** All that an inf2.xlarge with AWS's image has, as far as the doctor looks at it. */
  inf2(): this {
    this.write("dev/neuron0", "");
    this.write("sys/module/neuron/version", "2.25.4.0\n");
    this.write("sys/devices/virtual/neuron_device/neuron0/core_count", "2\n");
    this.write("sys/devices/virtual/dmi/id/product_name", "inf2.xlarge\n");
    this.write("opt/aws/neuron/lib/libnrt.so.1", "");
    this.program("opt/aws/neuron/bin/neuron-monitor", "exit 1");
    this.processes([]);
    this.write(`${SITE_PACKAGES}/torch/version.py`, "__version__ = '2.9.0+cu128'\n");
    this.library(NEW_ABI, "GLIBC_2.35");
    this.answer("runtime", { version: "2.33.0.0", totalCores: 2, visibleCores: 2 });
    this.answer("library", null);
    return this;
  }

  /** A core_count that this user cannot read, as all but root cannot, beside so many directories of cores. */
  hideCoreCount(cores: number): void {
    const device = "sys/devices/virtual/neuron_device/neuron0";
    this.remove(`${device}/core_count`);
    mkdirSync(this.at(`${device}/core_count`)); // reading it fails, for root too
    for (let core = 0; core < cores; core++) mkdirSync(this.at(`${device}/neuron_core${core}`));
  }

  /** Versions that neuron_blip.json has beside torch's. */
  compiledWith(versions: Record<string, string>): void {
    this.editManifest((json) => Object.assign(json, { versions: { torch: "2.9.0", ...versions } }));
  }

  /** A libtorchneuron.so with these names of symbols and versions. */
  library(...names: string[]): void {
    const strings = Buffer.from(["", ...names, ""].join("\0"), "latin1");
    const file = Buffer.alloc(64 + 64 + strings.length);
    file.write("\x7fELF\x02\x01", "latin1");
    file.writeUInt16LE(62, 18); // x86-64
    file.writeBigUInt64LE(64n, 40); // where the sections are told
    file.writeUInt16LE(64, 58);
    file.writeUInt16LE(1, 60);
    file.writeUInt32LE(3, 64 + 4); // a table of strings
    file.writeBigUInt64LE(2n, 64 + 8); // that is loaded
    file.writeBigUInt64LE(128n, 64 + 24);
    file.writeBigUInt64LE(BigInt(strings.length), 64 + 32);
    strings.copy(file, 128);
    this.write(LIBTORCHNEURON, file);
  }

  /** A model directory, to be looked at too. */
  withModel(target: "cpu" | "inf2"): this {
    cpSync(compiledModel, this.model, { recursive: true });
    this.editManifest((json) => Object.assign(json, { target, versions: { torch: "2.9.0" } }));
    this.answer("inspect", [target === "inf2", target === "inf2", target === "inf2"]);
    Object.assign(this.options, { directory: this.model });
    return this;
  }

  editManifest(edit: (json: Record<string, unknown>) => void): void {
    const path = join(this.model, "neuron_blip.json");
    const json = JSON.parse(readFileSync(path, "utf8"));
    edit(json);
    writeFileSync(path, JSON.stringify(json));
  }

  examine(): Promise<Report> {
    return examine(this.options, new Host(this.host));
  }
}

const summary = ({ findings }: Report) =>
  findings.filter(({ status }) => status === "problem" || status === "warning").map(({ id, what }) => `${id}: ${what}`);

describe("neuron-blip doctor", () => {
  let made: MadeHost;
  beforeEach(() => {
    made = new MadeHost();
  });
  afterEach(() => rmSync(made.root, { recursive: true, force: true }));

  it("finds a host without anything of Neuron fine, and a model for the CPU on it", async () => {
    const report = await made.withModel("cpu").examine();
    assert.deepEqual(summary(report), []);
    assert.equal(report.verdict, "ok");
    const neuron = report.findings.filter(({ id }) => id.startsWith("neuron."));
    assert(neuron.length >= 6 && neuron.every(({ status }) => status === "skipped"));
  });

  it("finds a whole inf2 host fine, and a model for it", async () => {
    const report = await made.inf2().withModel("inf2").examine();
    assert.deepEqual(summary(report), []);
    assert(report.findings.every(({ status }) => status === "ok"));
    const driver = report.findings.find(({ id }) => id === "neuron.driver");
    assert.deepEqual(driver?.details, {
      devices: [made.at("dev/neuron0")],
      version: "2.25.4.0",
      cores: 2,
      instanceType: "inf2.xlarge",
    });
  });

  /** What breaks a host, and the finding that must come of it: its id, status and some words of its cure; then other ids. */
  const broken: [string, (made: MadeHost) => void, string, Status, RegExp, ...string[]][] = [
    [
      "an old Node",
      (m) => Object.assign(m.host, { nodeVersion: "20.18.3" }),
      "node",
      "problem",
      /Install a newer Node/,
    ],
    ["a system without glibc", (m) => Object.assign(m.host, { glibc: undefined }), "platform", "warning", /Alpine/],
    ["an unknown system", (m) => Object.assign(m.host, { platform: "win32" }), "platform", "problem", /Use Linux/],
    ["no addon", (m) => m.remove("a/addon.node"), "addon", "problem", /^Run `npx neuron-blip build`/],
    ["an addon that crashes", (m) => m.crash("addon"), "addon", "problem", /build --force/],
    [
      "an addon whose libtorch is gone",
      (m) => m.failure("addon", "libc10.so: cannot open. Run `npx neuron-blip build` to build.", "LIBTORCH_NOT_FOUND"),
      "addon",
      "problem",
      /libtorch that this host has/,
    ],
    [
      "an addon whose libtorch lacks a library of the system",
      (m) => m.failure("addon", "does not load here (libgloo.so.0: cannot open shared object file)", "ADDON_NOT_BUILT"),
      "addon",
      "problem",
      /^Install what brings libgloo\.so\.0, or/,
    ],
    [
      "an addon that was built on a newer system",
      (m) => m.failure("addon", "libc.so.6: version `GLIBC_2.39' not found", "ADDON_NOT_BUILT"),
      "addon",
      "problem",
      /Build it on this system/,
    ],
    [
      "a libtorch that was replaced after the build",
      (m) => m.write(`${SITE_PACKAGES}/torch/version.py`, "__version__ = '2.10.0'\n"),
      "libtorch",
      "problem",
      /build --force/,
    ],
    [
      "the reference BLAS",
      (m) =>
        m.answer("addon", { libtorchVersion: "1.13.1", cxx11Abi: 1, libraries: ["/usr/lib/blas/libblas.so.3.11"] }),
      "blas",
      "warning",
      /libopenblas0-pthread/,
    ],
    [
      "OMP_NUM_THREADS=many",
      (m) => Object.assign(m.host.env, { OMP_NUM_THREADS: "many" }),
      "threads",
      "warning",
      /unset/,
    ],
    [
      "more threads than cores",
      (m) => Object.assign(m.host.env, { OMP_NUM_THREADS: "64" }),
      "threads",
      "warning",
      /4 or/,
    ],
    [
      "a container with a part of the cores",
      (m) => m.write("sys/fs/cgroup/cpu.max", "200000 100000\n"),
      "threads",
      "warning",
      /OMP_NUM_THREADS=2/,
    ],
    [
      "a container with too little memory",
      (m) => {
        m.withModel("cpu");
        m.write("sys/fs/cgroup/memory.max", "150000000\n");
        m.write("sys/fs/cgroup/memory.current", "1000000\n");
      },
      "memory",
      "problem",
      /container's limit/,
    ],
    [
      "a full disk",
      (m) => Object.assign(m.host, { freeBytes: async () => 5e6 }),
      "disk.temporary",
      "warning",
      /TMPDIR/,
    ],
    [
      "a disk that the model's temporary files do not fit on",
      (m) => {
        const freeBytes = async (path: string) => (path === m.at("tmp") ? 5e6 : 100e9);
        Object.assign(m.inf2().withModel("inf2").host, { freeBytes });
      },
      "disk.temporary",
      "problem",
      /TMPDIR to a directory on a larger disk/,
    ],
    ["no directory for temporary files", (m) => m.remove("tmp"), "disk.temporary", "problem", /set TMPDIR/],

    [
      "Neuron's tools and runtime on a host without devices",
      (m) => m.inf2().remove("dev/neuron0", "sys/module", "sys/devices"),
      "neuron.driver",
      "warning",
      /aws-neuronx-dkms/,
    ],
    [
      "the same, and a model that needs them",
      (m) => m.inf2().withModel("inf2").remove("dev/neuron0", "sys/module", "sys/devices"),
      "neuron.driver",
      "problem",
      /aws-neuronx-dkms/,
    ],
    [
      "an inf2 host without a driver",
      (m) => m.write("sys/devices/virtual/dmi/id/product_name", "inf2.8xlarge"),
      "neuron.driver",
      "problem",
      /modprobe neuron/,
      ...["neuron.runtime", "neuron.libtorchneuron", "neuron.tools"],
    ],
    [
      "a container that was not given the device",
      (m) => {
        m.inf2().remove("dev/neuron0");
        m.write(".dockerenv", "");
      },
      "neuron.driver",
      "problem",
      /--device=\/dev\/neuron0/,
    ],
    [
      "a driver without a runtime",
      (m) => m.inf2().remove("opt/aws/neuron/lib"),
      "neuron.runtime",
      "problem",
      /aws-neuronx-runtime-lib/,
    ],
    [
      "a driver without a runtime, and a model for the CPU",
      (m) => m.inf2().withModel("cpu").remove("opt/aws/neuron/lib"),
      "neuron.runtime",
      "warning",
      /aws-neuronx-runtime-lib/,
    ],
    [
      "a runtime that does not load",
      (m) => m.inf2().failure("runtime", "libnrt.so.1: invalid ELF header", "NEURON_RUNTIME_MISMATCH"),
      "neuron.runtime",
      "problem",
      /--reinstall aws-neuronx-runtime-lib/,
    ],
    [
      "a library that is no runtime",
      (m) => m.inf2().answer("runtime", { version: "", totalCores: -1, visibleCores: -1 }),
      "neuron.runtime",
      "problem",
      /--reinstall/,
    ],
    [
      "a runtime that is too old for its driver",
      (m) => {
        m.inf2().write("sys/module/neuron/version", "2.29.0.0\n");
        m.answer("runtime", { version: "2.31.22.0", totalCores: 2, visibleCores: 2 });
      },
      "neuron.runtime",
      "problem",
      /aws-neuronx-dkms=2\.29\.0\.0 aws-neuronx-runtime-lib=2\.33\.10\.0\*/,
    ],
    [
      "a runtime that sees other cores than the driver, which root alone may ask",
      (m) => {
        m.inf2().hideCoreCount(4);
      },
      "neuron.runtime",
      "problem",
      /same SDK/,
    ],
    [
      "a runtime that sees other cores than the driver",
      (m) => m.inf2().answer("runtime", { version: "", totalCores: 4, visibleCores: -1 }),
      "neuron.runtime",
      "problem",
      /same SDK/,
    ],
    [
      "a device without tools",
      (m) => m.inf2().remove("opt/aws/neuron/bin"),
      "neuron.tools",
      "warning",
      /aws-neuronx-tools/,
    ],
    [
      "no libtorchneuron.so",
      (m) => m.inf2().remove(`${SITE_PACKAGES}/torch_neuronx`),
      "neuron.libtorchneuron",
      "problem",
      /NEURON_BLIP_LIBTORCHNEURON/,
    ],
    [
      "a libtorchneuron.so for another torch",
      (m) => {
        m.inf2().write(`${SITE_PACKAGES}/torch/version.py`, "__version__ = '2.8.1'\n");
        m.remove("a/neuron_blip.json");
      },
      "neuron.libtorchneuron.torch",
      "problem",
      /NEURON_BLIP_LIBTORCH=\/.*site-packages\/torch npx neuron-blip build/,
    ],
    [
      "a libtorchneuron.so of another C++ ABI",
      (m) => m.inf2().library(OLD_ABI),
      "neuron.libtorchneuron.abi",
      "problem",
      /npx neuron-blip build/,
    ],
    [
      "a libtorchneuron.so that needs a newer glibc",
      (m) => m.inf2().library(NEW_ABI, "GLIBC_2.2.5", "GLIBC_2.38", "GLIBC_2.9"),
      "neuron.libtorchneuron.glibc",
      "problem",
      /glibc 2\.38 or newer/,
    ],
    [
      "a torch-neuronx that is known to need a newer glibc",
      (m) => {
        m.inf2().write(`${SITE_PACKAGES}/torch_neuronx-2.9.0.2.15.32035.dist-info/METADATA`, "");
        m.library(NEW_ABI, "GLIBC_2.17");
        Object.assign(m.host, { glibc: "2.34" });
      },
      "neuron.libtorchneuron.glibc",
      "problem",
      /glibc 2\.35 or newer.*Amazon Linux 2023 has 2\.34/,
    ],
    [
      "a torch-neuronx that is TorchNeuron",
      (m) => m.inf2().write(`${SITE_PACKAGES}/torch_neuronx-2.13.3.dist-info/METADATA`, ""),
      "neuron.libtorchneuron.product",
      "problem",
      /torch-neuronx 2\.9\.0\.2\.15\.32035 \(Neuron SDK 2\.31\).*aws_neuronx_venv_pytorch_2_9/,
    ],
    [
      "a libtorchneuron.so that is cut short",
      (m) => m.inf2().write(LIBTORCHNEURON, "\x7fELF"),
      "neuron.libtorchneuron.file",
      "problem",
      /Install torch-neuronx again/,
    ],
    [
      "a libtorchneuron.so for another processor",
      (m) => Object.assign(m.inf2().host, { arch: "arm64" }),
      "neuron.libtorchneuron.arch",
      "problem",
      /this host's processor/,
    ],
    [
      "a libtorchneuron.so with an undefined symbol",
      (m) => m.inf2().failure("library", "undefined symbol: _ZN3c10"),
      "neuron.libtorchneuron.load",
      "problem",
      /same environment/,
    ],
    [
      "a libtorchneuron.so that crashes",
      (m) => m.inf2().crash("library"),
      "neuron.libtorchneuron.load",
      "problem",
      /same SDK/,
    ],
    [
      "visible cores that are no cores",
      (m) => Object.assign(m.inf2().host.env, { NEURON_RT_VISIBLE_CORES: "0;1" }),
      "neuron.settings",
      "problem",
      /Set it to one core/,
    ],
    [
      "visible cores beyond those that are there",
      (m) => Object.assign(m.inf2().host.env, { NEURON_RT_VISIBLE_CORES: "1-2" }),
      "neuron.settings",
      "problem",
      /among 0-1/,
    ],
    [
      "a number of cores that is none",
      (m) => Object.assign(m.inf2().host.env, { NEURON_RT_NUM_CORES: "two" }),
      "neuron.settings",
      "problem",
      /whole number/,
    ],
    [
      "more cores asked for than there are",
      (m) => Object.assign(m.inf2().host.env, { NEURON_RT_NUM_CORES: "3" }),
      "neuron.settings",
      "problem",
      /2 or less/,
    ],
    [
      "cores held by a process",
      (m) => m.inf2().processes([{ pid: 4711, command: "python3 serve.py" }]),
      "neuron.cores",
      "problem",
      /^End that process\.$/,
    ],
    [
      "a core held by a process that has another free",
      (m) => m.inf2().processes([{ pid: 4711, command: "python3 serve.py", neuroncore_ids: [0] }]),
      "neuron.cores",
      "problem",
      /NEURON_RT_VISIBLE_CORES=1\./,
    ],
    [
      "a process on a device of which one core is asked for",
      (m) => {
        m.inf2().processes([{ pid: 4711, command: "python3 serve.py" }]);
        Object.assign(m.host.env, { NEURON_RT_VISIBLE_CORES: "1" });
      },
      "neuron.cores",
      "warning",
      /End that process/,
    ],
    [
      "a neuron-ls that fails",
      (m) => m.inf2().program("opt/aws/neuron/bin/neuron-ls", "echo 'no driver' >&2; exit 1"),
      "neuron.cores",
      "warning",
      /neuron-ls. by hand/,
    ],

    ["no model directory", (m) => m.withModel("cpu").remove("model"), "model.config", "problem", /neuron-blip compile/],
    [
      "no config.json",
      (m) => m.withModel("cpu").remove("model/config.json"),
      "model.config",
      "problem",
      /Give the directory/,
    ],
    [
      "a manifest of a later format",
      (m) => m.withModel("cpu").editManifest((json) => Object.assign(json, { format_version: 99 })),
      "model.manifest",
      "problem",
      /^Compile the model again/,
    ],
    [
      "a part with one byte changed",
      (m) => {
        const bytes = readFileSync(join(m.withModel("cpu").model, "vision_model.pt"));
        bytes[1_000_000] = (bytes[1_000_000] as number) ^ 1;
        m.write("model/vision_model.pt", bytes);
      },
      "model.files",
      "problem",
      /^Copy the directory again/,
    ],
    [
      "a changed reference",
      (m) => m.withModel("cpu").write("model/reference.safetensors", "x"),
      "model.files",
      "problem",
      /^Copy the directory again/,
    ],
    [
      "a part missing, and no manifest",
      (m) => m.withModel("cpu").remove("model/neuron_blip.json", "model/text_decoder.pt"),
      "model.files",
      "problem",
      /^Copy the directory again/,
    ],
    [
      "parts that are no TorchScript",
      (m) => m.withModel("cpu").failure("inspect", "not a ZIP archive", "ARTIFACT_CORRUPT"),
      "model.target",
      "problem",
      /^Copy the directory again/,
    ],
    [
      "a model for inf2 on a host without Neuron",
      (m) => m.withModel("inf2"),
      "model.target",
      "problem",
      /--target cpu/,
    ],
    [
      "a model for inf2 that has no manifest, on a host without Neuron",
      (m) => m.withModel("inf2").remove("model/neuron_blip.json"),
      "model.target",
      "problem",
      /--target cpu/,
    ],
    [
      "a part for Neuron among those for the CPU",
      (m) => m.withModel("cpu").answer("inspect", [true, false, false]),
      "model.target",
      "problem",
      /mixed/,
    ],
    [
      "more replicas than cores",
      (m) => Object.assign(m.inf2().withModel("inf2").options, { replicas: 3 }),
      "model.target",
      "warning",
      /Load 2 or fewer/,
    ],
    [
      "a model for inf2 that another torch traced",
      (m) =>
        m
          .inf2()
          .withModel("inf2")
          .editManifest((json) => Object.assign(json, { versions: { torch: "2.8.0" } })),
      "model.versions",
      "problem",
      /with torch 2\.8/,
    ],
    [
      "a model for inf2 that another torch-neuronx compiled",
      (m) => {
        m.inf2().withModel("inf2").compiledWith({ torch_neuronx: "2.8.0.2.10.16998", neuronx_cc: "2.21.33363.0" });
        m.write(`${SITE_PACKAGES}/torch_neuronx-2.9.0.2.15.32035.dist-info/METADATA`, "");
      },
      "model.neuron",
      "warning",
      /^Compile the model again with this host's SDK, or install the SDK that compiled it here/,
    ],
    [
      "a model for inf2 that was compiled for a newer runtime, by its SDK",
      (m) => {
        m.inf2().withModel("inf2").compiledWith({ torch_neuronx: "2.9.0.2.15.32035", neuron_sdk: "2.31" });
        m.answer("runtime", { version: "2.28.5.0", totalCores: 2, visibleCores: 2 });
      },
      "model.neuron",
      "warning",
      /install SDK 2\.31 here/,
    ],
    [
      "a model for inf2 that was compiled for a newer runtime, by the host that compiled it",
      (m) =>
        m.inf2().withModel("inf2").compiledWith({ torch_neuronx: "2.9.0.2.15.32035", neuron_runtime: "2.35.30.0" }),
      "model.neuron",
      "warning",
      /this host's SDK/,
    ],
    [
      "a model for inf2 on another device",
      (m) => {
        m.inf2().withModel("inf2").compiledWith({ torch_neuronx: "2.9.0.2.15.32035" });
        m.write("sys/devices/virtual/neuron_device/neuron0/info/architecture/device_name", "Trainium2\n");
      },
      "model.neuron",
      "warning",
      /this host's SDK/,
    ],
    [
      "a model for the CPU that a newer torch traced",
      (m) => m.withModel("cpu").editManifest((json) => Object.assign(json, { versions: { torch: "2.13.0" } })),
      "model.versions",
      "warning",
      /libtorch 2\.13 or newer/,
    ],
    [
      "no tokenizer",
      (m) => m.withModel("cpu").remove("model/tokenizer.json"),
      "model.tokenizer",
      "problem",
      /^Copy the tok/,
    ],
    [
      "a preprocessor_config.json that is no JSON",
      (m) => m.withModel("cpu").write("model/preprocessor_config.json", "{"),
      "model.pictures",
      "problem",
      /Copy the file/,
    ],
  ];
  for (const [what, change, id, status, cure, ...also] of broken) {
    it(`finds ${what}: ${id}, a ${status}, and what to do`, async () => {
      change(made);
      const report = await made.examine();
      const found = report.findings.find((finding) => finding.id === id && finding.status !== "ok");
      assert(found, `${id} is fine; found were ${summary(report).join(" | ") || "nothing"}`);
      assert.equal(found.status, status, found.what);
      assert.match(found.cure ?? "", cure);
      const faults = report.findings.filter((finding) => finding.status === "problem" || finding.status === "warning");
      assert.deepEqual([...new Set(faults.map((fault) => fault.id))], [id, ...also], "what else was found");
      assert.equal(report.verdict, status);
    });
  }

  it("counts the driver's cores by their directories where it may not read their number", async () => {
    made.inf2().hideCoreCount(2);
    const report = await made.examine();
    assert.deepEqual(summary(report), []);
    assert.equal(report.findings.find(({ id }) => id === "neuron.driver")?.details.cores, 2);
  });

  it("finds a model fine that was compiled with what the host has", async () => {
    made.inf2().withModel("inf2").compiledWith({ torch_neuronx: "2.9.0.2.15.32035", neuron_sdk: "2.31" });
    made.write(`${SITE_PACKAGES}/torch_neuronx-2.9.0.2.15.32035.dist-info/METADATA`, "");
    made.answer("runtime", { version: "2.33.10.0", totalCores: 2, visibleCores: 2 });
    made.write("sys/devices/virtual/neuron_device/neuron0/info/architecture/device_name", "Inferentia2\n");
    const report = await made.examine();
    assert.deepEqual(summary(report), []);
    const found = report.findings.find(({ id }) => id === "model.neuron");
    assert.equal(found?.what, "Compiled with torch-neuronx 2.9.0.2.15.32035 (SDK 2.31), which fits this host.");
  });

  it("takes the tokenizer from another directory, where one is named", async () => {
    made.withModel("cpu").remove("model/tokenizer.json", "model/tokenizer_config.json");
    Object.assign(made.options, { tokenizer: compiledModel });
    assert.deepEqual(summary(await made.examine()), []);
  });

  it("does not count a process against cores that were not asked for", async () => {
    made.inf2().processes([{ pid: 4711, command: "python3 serve.py", neuroncore_ids: [0] }]);
    Object.assign(made.host.env, { NEURON_RT_VISIBLE_CORES: "1" });
    assert.deepEqual(summary(await made.examine()), []);
  });

  it("goes on where a file of the system cannot be read, and says so", async () => {
    made.inf2().withModel("cpu").remove("sys/module/neuron/version");
    mkdirSync(made.at("sys/module/neuron/version"));
    const report = await made.examine();
    assert.equal(report.verdict, "warning");
    assert.match(
      report.findings.find(({ id }) => id === "neuron.driver")?.what ?? "",
      /could not be looked at.*EISDIR/,
    );
    assert.equal(report.findings.find(({ id }) => id === "model.files")?.status, "ok");
  });

  it("goes on where a probe fails, and says which", async () => {
    made.host.freeBytes = async () => {
      throw new Error("statfs is not for you");
    };
    const { findings } = await made.withModel("cpu").examine();
    const disk = findings.find(({ id }) => id === "disk");
    assert.equal(disk?.status, "warning");
    assert.match(disk?.what ?? "", /statfs is not for you/);
    assert.equal(findings.at(-1)?.status, "ok");
  });

  it("writes a line per finding for people, no longer than the terminal, with the cure below", async () => {
    const report = await made.inf2().withModel("inf2").examine();
    made.remove("a/addon.node");
    const text = render(await made.examine(), 100);
    assert.match(text, /^✗ addon +The native addon is not built/m);
    assert.match(text, /^ {5,}-> Run `npx neuron-blip build`\.$/m);
    assert.match(text, /\d problems?, \d warnings?\.$/);
    assert(text.split("\n").every((line) => line.length <= 100 || line.includes(made.root)));
    assert.match(render(report), /\n\nNo problems\.$/);
  });

  describe("on the command line", () => {
    const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
    const doctor = (args: string[], env: Record<string, string> = {}) =>
      spawnSync(process.execPath, [main, "doctor", ...args], {
        encoding: "utf8",
        env: { ...process.env, ...env },
      });

    it("looks at this host and the demo model, and prints JSON that says the addon loads", () => {
      const { status, stdout, stderr } = doctor([compiledModel, "--json"]);
      assert.equal(stderr, "");
      const report: Report = JSON.parse(stdout);
      assert.equal(status, report.verdict === "problem" ? 1 : 0);
      const statusOf = (id: string) => report.findings.find((finding) => finding.id === id)?.status;
      for (const id of [
        "node",
        "addon",
        "libtorch",
        "model.config",
        "model.files",
        "model.target",
        "model.tokenizer",
      ]) {
        assert.equal(statusOf(id), "ok", id);
      }
      const libtorch = report.findings.find(({ id }) => id === "libtorch");
      assert.match(String(libtorch?.details.version), /^\d+\.\d+/);
    });

    it("exits with 1 and the cure where the addon's file is no addon, without loading it itself", () => {
      const file = made.at("broken.node");
      writeFileSync(file, "not a library");
      const { status, stdout, stderr } = doctor([], { NEURON_BLIP_ADDON: file });
      assert.equal(status, 1, stderr);
      assert.match(stdout, /✗ addon/);
      assert.match(stdout, /-> Run `npx neuron-blip build --force`\./);
      assert.match(stdout, /- libtorch +Not looked at/);
    });

    it("exits with 2 for wrong arguments, and lists the right ones", () => {
      for (const [args, message] of [
        [["one", "two"], /takes one model\b/],
        [["--replicas", "0"], /1 or more, not 0/],
        [["--quickly"], /--quickly/],
      ] as [string[], RegExp][]) {
        const { status, stderr } = doctor(args);
        assert.equal(status, 2);
        assert.match(stderr, message);
      }
      const { status, stdout } = doctor(["--help"]);
      assert.equal(status, 0);
      assert.match(stdout, /Usage: neuron-blip doctor/);
    });
  });
});
