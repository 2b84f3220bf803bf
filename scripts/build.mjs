// Builds the native addon: finds libtorch, runs cmake-js, and test-loads the result. Does nothing where all is up to date.
// npm runs this as the package's install script; `npx neuron-blip build` and binding.gyp run it too.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { capture, installCommand, run, runMain, SetupError, which } from "./host.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

const HELP = `Builds neuron-blip's native addon against libtorch.

Usage: neuron-blip build [options]

  --force      build even where everything is up to date
  --debug      without optimisation, with debug information (into build-debug/)
  --sanitize   with AddressSanitizer and UndefinedBehaviorSanitizer (into build-asan/)
  --jobs N     compile N files at once (default: one per core and 2 GB of memory)
  --help       print this

libtorch is looked for in this order: the directory in NEURON_BLIP_LIBTORCH; the active Python's torch; AWS Neuron's
environments (/opt/aws_neuronx_venv_pytorch*); the system's; else a CPU build is fetched into a cache
(NEURON_BLIP_CACHE, default ~/.cache; NEURON_BLIP_NO_DOWNLOAD=1 forbids it).`;

/**
 * @typedef {object} BuildOptions
 * @property {boolean} [force] build even where everything is up to date
 * @property {"Release" | "Debug" | "Sanitize"} [kind]
 * @property {number} [jobs] how many files to compile at once
 * @property {string} [directory] where to build, relative to the project
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
export async function buildAddon({ force = false, kind = "Release", jobs = defaultJobs(), directory } = {}) {
  const { config } = KINDS[kind];
  const buildDir = join(root, directory ?? KINDS[kind].directory);
  mkdirSync(buildDir, { recursive: true });
  return withLock(join(buildDir, ".lock"), async () => {
    const libtorch = await findLibtorch({ log: say });
    const output = join(buildDir, "Release");
    const addon = join(output, "neuron_blip.node");
    const stampFile = join(output, "neuron_blip.json");
    const cmakeDir = join(buildDir, "cmake");
    const settingsFile = join(cmakeDir, "neuron_blip_settings.json");
    const settings = { kind, libtorch, host: `${process.platform}-${process.arch}`, root, cxx: process.env.CXX };
    const stamp = { settings, sources: digestSources(), headers: require("node-addon-api/package.json").version };

    if (!force && existsSync(addon) && isWritten(stampFile, stamp)) return addon;

    checkTools();
    say(`building the addon against ${libtorch.label}${libtorch.cuda ? ", a CUDA build used on the CPU" : ""}`);
    rmSync(stampFile, { force: true });
    // What was compiled for another libtorch or by another compiler must not be mixed in.
    if (force || !isWritten(settingsFile, settings)) rmSync(cmakeDir, { recursive: true, force: true });
    mkdirSync(cmakeDir, { recursive: true });
    writeJson(settingsFile, settings);
    const cmakeJs = [cmakeJsPath(), "--directory", join(root, "native"), "--out", cmakeDir];
    cmakeJs.push("--config", config, "--log-level", "warn");
    const defines = {
      // Beside the build directory, which node-gyp uses too, rather than inside CMake's.
      CMAKE_LIBRARY_OUTPUT_DIRECTORY: output,
      NEURON_BLIP_TORCH_INCLUDE_DIRS: libtorch.includeDirs.join(";"),
      NEURON_BLIP_TORCH_LIB_DIR: libtorch.libDir,
      NEURON_BLIP_TORCH_CXX11_ABI: String(libtorch.cxx11Abi),
      NEURON_BLIP_SANITIZE: kind === "Sanitize" ? "ON" : "OFF",
      NEURON_BLIP_WERROR: process.env.NEURON_BLIP_WERROR === "1" ? "ON" : "OFF",
    };
    const configureArgs = Object.entries(defines).map(([key, value]) => `--CD${key}=${value}`);
    const configured = capture(process.execPath, [...cmakeJs, "configure", ...configureArgs]);
    if (!configured.ok) console.error(configured.stdout + configured.stderr);
    if (!configured.ok || (await run(process.execPath, [...cmakeJs, "build", "--parallel", String(jobs)])) !== 0) {
      throw new SetupError(
        `the addon did not build against ${libtorch.label}; the compiler's words are above. ` +
          "To build against another libtorch set NEURON_BLIP_LIBTORCH to its directory.",
      );
    }
    if (kind !== "Sanitize") testLoad(addon, libtorch.label);
    writeJson(stampFile, stamp);
    say(`built ${addon}`);
    return addon;
  });
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

/** @returns {string} a digest of every file that the addon is made from */
function digestSources() {
  const hash = createHash("sha256");
  for (const name of readdirSync(join(root, "native"), { recursive: true, encoding: "utf8" }).sort()) {
    if (!/\.(cc|cpp|h|hpp|txt|cmake)$/.test(name)) continue;
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

/** @returns {string} cmake-js's program, wherever the package manager put it */
function cmakeJsPath() {
  try {
    return require.resolve("cmake-js/bin/cmake-js");
  } catch {
    throw new SetupError("the package cmake-js is not installed. Run `npm install` first.");
  }
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
 * @param {string} label libtorch's
 */
function testLoad(addon, label) {
  const { ok, stderr } = capture(process.execPath, ["-e", `require(${JSON.stringify(addon)})`]);
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
  await buildAddon({ force: values.force ?? false, kind, jobs });
  return 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(() => main(process.argv.slice(2)));
}
