// Builds the native addon: finds libtorch, runs cmake-js, and test-loads the result. Does nothing where all is up to date.
// `npx neuron-blip build` runs this, and so do the scripts of a clone.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BUILD_TOOLS, findBuildTools, toolEnvironment } from "./build-tools.mjs";
import { capture, installCommand, run, runMain, SetupError, which } from "./host.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const HELP = `Builds neuron-blip's native addon against libtorch: for hosts that no binaries are published for, or that have another torch.

Usage: neuron-blip build [options]

  --libtorch DIR  build with the libtorch in that directory: a torch package, a Python environment, or a libtorch archive
  --force         build even where everything is up to date
  --debug         without optimisation, with debug information (in a clone, into build-debug/)
  --sanitize      with AddressSanitizer and UndefinedBehaviorSanitizer (in a clone, into build-asan/)
  --jobs N        compile N files at once (default: one per core and 2 GB of memory)
  --help          print this

It needs a C++20 compiler, make (or ninja) and CMake, and looks for them before it fetches anything. Without --libtorch it looks for
libtorch in this order: the directory in NEURON_BLIP_LIBTORCH; the active Python's torch; AWS Neuron's environments
(/opt/aws_neuronx_venv_pytorch*); the system's; else a CPU build is fetched into a cache (NEURON_BLIP_CACHE, default ~/.cache;
NEURON_BLIP_NO_DOWNLOAD=1 forbids it). cmake-js and its headers are fetched into that cache too, and the addon is built there, where
neuron-blip finds it; in a clone it is built into build/.`;

/**
 * @typedef {object} BuildOptions
 * @property {boolean} [force] build even where everything is up to date
 * @property {"Release" | "Debug" | "Sanitize"} [kind]
 * @property {number} [jobs] how many files to compile at once
 * @property {string} [directory] where to build, relative to the project
 * @property {boolean} [keyed] build into a directory of its own for each libtorch, in `directory`
 * @property {string} [libtorch] the directory of the libtorch to build with
 * @property {boolean} [publish] for a platform package: see NEURON_BLIP_PUBLISH in native/CMakeLists.txt
 */

/** Where each kind of build goes, and what CMake calls it. */
const KINDS = {
  Release: { directory: "build", config: "Release" },
  Debug: { directory: "build-debug", config: "Debug" },
  Sanitize: { directory: "build-asan", config: "Release" },
};

/**
 * Builds the addon where it is not up to date.
 * @param {BuildOptions} [options]
 * @returns {Promise<string>} the path of the built addon
 */
export async function buildAddon(options = {}) {
  const { force = false, kind = "Release", jobs = defaultJobs(), keyed = false, publish = false } = options;
  const { config, directory } = KINDS[kind];
  const base = resolve(root, options.directory ?? directory);
  mkdirSync(base, { recursive: true });
  return withLock(join(base, ".lock"), async () => {
    const libtorch = await findLibtorch({
      log: say,
      beforeFetch: checkTools,
      ...(options.libtorch !== undefined && { named: options.libtorch }),
    });
    const buildDir = keyed ? join(base, keyOf(libtorch)) : base;
    const output = join(buildDir, "Release");
    const addon = join(output, "neuron_blip.node");
    const stampFile = join(output, "neuron_blip.json");
    const cmakeDir = join(buildDir, "cmake");
    const settingsFile = join(cmakeDir, "neuron_blip_settings.json");
    const host = `${process.platform}-${process.arch}`;
    const settings = { kind, libtorch, host, publish, cxx: process.env.CXX };
    const stamp = { settings, sources: digestSources() };

    if (!force && existsSync(addon) && isWritten(stampFile, stamp)) return addon;

    checkTools();
    const tools = await findBuildTools({ log: say });
    say(`building the addon against ${libtorch.label}${libtorch.cuda ? ", a CUDA build used on the CPU" : ""}`);
    rmSync(stampFile, { force: true });
    // What was compiled for another libtorch, by another compiler or from another directory must not be mixed in.
    const made = { ...settings, root, headers: tools.version };
    if (force || !isWritten(settingsFile, made)) rmSync(cmakeDir, { recursive: true, force: true });
    mkdirSync(cmakeDir, { recursive: true });
    writeJson(settingsFile, made);
    const cmakeJs = [tools.cmakeJs, "--directory", join(root, "native"), "--out", cmakeDir];
    cmakeJs.push("--config", config, "--log-level", "warn");
    const defines = {
      // Beside the build directory, which node-gyp uses too, rather than inside CMake's.
      CMAKE_LIBRARY_OUTPUT_DIRECTORY: output,
      NEURON_BLIP_TORCH_INCLUDE_DIRS: libtorch.includeDirs.join(";"),
      NEURON_BLIP_TORCH_LIB_DIR: libtorch.libDir,
      NEURON_BLIP_TORCH_CXX11_ABI: String(libtorch.cxx11Abi),
      NEURON_BLIP_NODE_ADDON_API: tools.nodeAddonApi,
      NEURON_BLIP_PUBLISH: publish ? "ON" : "OFF",
      NEURON_BLIP_SANITIZE: kind === "Sanitize" ? "ON" : "OFF",
      NEURON_BLIP_WERROR: process.env.NEURON_BLIP_WERROR === "1" ? "ON" : "OFF",
    };
    const env = toolEnvironment();
    const configureArgs = Object.entries(defines).map(([key, value]) => `--CD${key}=${value}`);
    const configured = capture(process.execPath, [...cmakeJs, "configure", ...configureArgs], { env });
    if (!configured.ok) console.error(configured.stdout + configured.stderr);
    const build = [...cmakeJs, "build", "--parallel", String(jobs)];
    if (!configured.ok || (await run(process.execPath, build, { env })) !== 0) {
      throw new SetupError(
        `the addon did not build against ${libtorch.label}; the compiler's words are above. ` +
          "To build against another libtorch give its directory: --libtorch DIR.",
      );
    }
    if (kind !== "Sanitize") testLoad(addon, libtorch, publish);
    writeJson(stampFile, stamp);
    say(`built ${addon}`);
    return addon;
  });
}

/**
 * @param {import("./libtorch.mjs").Libtorch} libtorch
 * @returns {string} the name of a directory for what is built with it
 */
function keyOf({ version, libDir }) {
  const place = createHash("sha256").update(libDir).digest("hex").slice(0, 8);
  return `torch-${version.replaceAll(/[^\w.+-]/g, "_")}-${place}`;
}

/** @param {string} line */
function say(line) {
  console.log(`neuron-blip: ${line}`);
}

/** @returns {number} compiler runs at once: a file that includes libtorch's headers takes more than a gigabyte */
function defaultJobs() {
  const memory = Math.min(process.constrainedMemory() || Number.POSITIVE_INFINITY, totalmem());
  return Math.max(1, Math.min(availableParallelism(), Math.floor(memory / 2e9)));
}

/** @returns {string} a digest of every file that the addon is made from, and of the versions of its tools */
function digestSources() {
  const hash = createHash("sha256");
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  hash.update(JSON.stringify(BUILD_TOOLS.map((name) => devDependencies[name])));
  for (const name of readdirSync(join(root, "native"), { recursive: true, encoding: "utf8" }).sort()) {
    if (!/\.(c|cc|h|txt)$/.test(name)) continue;
    hash.update(`${name}\0`).update(readFileSync(join(root, "native", name)));
  }
  return hash.digest("hex");
}

/**
 * @param {string} path
 * @param {unknown} value
 */
function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * @param {string} path
 * @param {unknown} value
 * @returns {boolean} whether writeJson wrote that value there
 */
function isWritten(path, value) {
  return existsSync(path) && readFileSync(path, "utf8") === `${JSON.stringify(value, null, 2)}\n`;
}

/** Checks that the host can build, before anything long is begun. */
function checkTools() {
  const missing = [];
  if (which("cmake") === undefined) missing.push("CMake");
  if (which("make") === undefined && which("ninja") === undefined) missing.push("make");
  const compiler = process.env.CXX ?? ["c++", "g++", "clang++"].find((name) => which(name) !== undefined);
  if (compiler === undefined) {
    missing.push("a C++20 compiler");
  } else {
    const [program = compiler, ...flags] = compiler.split(" ");
    const probe =
      "#include <concepts>\ntemplate <std::integral T> T same(T t) { return t; }\nint main() { return same(0); }\n";
    const { ok, stderr } = capture(program, [...flags, "-std=c++20", "-fsyntax-only", "-x", "c++", "-"], {
      input: probe,
    });
    if (!ok) missing.push(`a C++20 compiler (${compiler} cannot compile C++20: ${stderr.trim().split("\n")[0]})`);
  }
  if (missing.length === 0) return;
  const command = installCommand({
    apt: "g++ make cmake",
    dnf: "gcc-c++ make cmake",
    brew: "xcode-select --install && brew install cmake",
  });
  throw new SetupError(
    `the addon cannot be built, because this host lacks ${missing.join(" and ")}. Install: ${command}`,
  );
}

/**
 * Loads the addon in another process, so that one that crashes or lacks a library is not taken for built.
 * @param {string} addon
 * @param {import("./libtorch.mjs").Libtorch} libtorch
 * @param {boolean} publish whether it does not find libtorch by itself
 */
function testLoad(addon, { label, libDir }, publish) {
  const libraries = publish ? ["libc10.so", "libtorch_cpu.so"].map((name) => join(libDir, name)) : [];
  const first = libraries.map((path) => `load(${JSON.stringify(path)});`).join(" ");
  const loader = `const { load } = require(${JSON.stringify(join(dirname(addon), "loader.node"))});`;
  const { ok, stderr } = capture(process.execPath, ["-e", `${loader} ${first} require(${JSON.stringify(addon)})`]);
  if (ok) return;
  const reason = stderr.split("\n").find((line) => line.startsWith("Error:")) ?? stderr.trim().slice(-500);
  throw new SetupError(`the addon was built against ${label}, but does not load: ${reason}`);
}

/**
 * @param {string[]} args
 * @returns {Promise<number>}
 */
async function main(args) {
  const options = /** @type {const} */ ({
    force: { type: "boolean" },
    debug: { type: "boolean" },
    sanitize: { type: "boolean" },
    jobs: { type: "string" },
    libtorch: { type: "string" },
    into: { type: "string" }, // of the command line: where an installed package builds
    help: { type: "boolean", short: "h" },
  });
  /** @type {ReturnType<typeof parseArgs<{options: typeof options}>>["values"]} */
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    console.error(`neuron-blip build: ${error instanceof Error ? error.message : error}\n\n${HELP}`);
    return 2;
  }
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const jobs = values.jobs === undefined ? defaultJobs() : Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) {
    console.error(`neuron-blip build: --jobs takes a number of 1 or more, not "${values.jobs}"`);
    return 2;
  }
  const kind = values.sanitize ? "Sanitize" : values.debug ? "Debug" : "Release";
  if (values.into !== undefined && kind !== "Release") {
    console.error("neuron-blip build: --debug and --sanitize are for a clone of neuron-blip's repository");
    return 2;
  }
  await buildAddon({
    force: values.force ?? false,
    kind,
    jobs,
    ...(values.libtorch !== undefined && { libtorch: values.libtorch }),
    ...(values.into !== undefined && { directory: values.into, keyed: true }),
  });
  return 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(() => main(process.argv.slice(2)));
}
