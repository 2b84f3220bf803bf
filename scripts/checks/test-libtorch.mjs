// Builds the addon against several builds of libtorch, and runs the tests on each:
//   cpu      the pinned CPU build
//   debian   Debian's libtorch-dev, unpacked beside the system rather than installed
//   cuda     a CUDA build of torch from the Python package index, on this host as it is: without a CUDA toolkit
// Arguments: which of these (default: all), or directories of other builds; after --, arguments for mocha.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAddon } from "../addon/build.mjs";
import { buildStandIns } from "../addon/build-stand-ins.mjs";
import { cacheDirectory, cachedLibtorch, fetchLibtorch } from "../addon/fetch-libtorch.mjs";
import { capture, pythons, run, runMain, SetupError } from "../addon/host.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const CUDA_REQUIREMENT = "torch==2.14.1";
const CUDA_LIBRARIES = "cuda-toolkit[cudart,cupti]==13.0.3";

/**
 * @typedef {object} Build
 * @property {string} directory for NEURON_BLIP_LIBTORCH
 * @property {string[]} libraryPath where the loader finds what this build needs besides its own libraries
 */

/** @type {Record<string, () => Promise<Build>>} */
const BUILDS = { cpu: cpuBuild, debian: debianBuild, cuda: cudaBuild };

/** @returns {Promise<Build>} */
async function cpuBuild() {
  return { directory: cachedLibtorch() ?? (await fetchLibtorch({ log: console.log })), libraryPath: [] };
}

/** @returns {Promise<Build>} */
async function debianBuild() {
  if (existsSync("/usr/include/torch/csrc/api/include")) return { directory: "/usr", libraryPath: [] }; // installed
  const directory = await once("libtorch-debian", async (target) => {
    const archives = join(target, "archives");
    mkdirSync(join(archives, "partial"), { recursive: true });
    // Only what this host lacks is downloaded; the default BLAS is 40 times slower than OpenBLAS.
    const args = ["install", "--download-only", "--no-install-recommends", "--yes", "-o", "Debug::NoLocking=1"];
    args.push("-o", `Dir::Cache::archives=${archives}`, "libtorch-dev", "libopenblas0-pthread");
    if ((await run("apt-get", args)) !== 0) {
      throw new SetupError("Debian's libtorch-dev could not be downloaded. `apt-get update` first may help.");
    }
    for (const name of readdirSync(archives).filter((file) => file.endsWith(".deb"))) {
      if ((await run("dpkg", ["-x", join(archives, name), target])) !== 0)
        throw new SetupError(`${name} does not unpack.`);
    }
    rmSync(archives, { recursive: true });
  });
  const lib = join(directory, "usr/lib");
  const [multiarch] = readdirSync(lib).filter((name) => existsSync(join(lib, name, "libtorch_cpu.so")));
  if (multiarch === undefined) throw new SetupError(`no libtorch in ${lib}. Remove that directory and run this again.`);
  const libraries = join(lib, multiarch);
  const others = [join(libraries, "openblas-pthread"), lib, join(directory, "lib", multiarch)];
  return { directory: join(directory, "usr"), libraryPath: [libraries, ...others] };
}

/** @returns {Promise<Build>} */
async function cudaBuild() {
  const directory = await once("libtorch-cuda", async (target) => {
    const [python] = pythons();
    if (python === undefined) throw new SetupError("the CUDA build is fetched with pip: install python3-pip.");
    const install = ["-m", "pip", "install", "--only-binary=:all:", "--target", target];
    // Of NVIDIA's packages only the two whose libraries libtorch_cpu itself asks the loader for.
    for (const requirement of [["--no-deps", CUDA_REQUIREMENT], [CUDA_LIBRARIES]]) {
      if ((await run(python, [...install, ...requirement])) !== 0) {
        throw new SetupError(`pip could not fetch ${requirement.at(-1)}.`);
      }
    }
  });
  return { directory: join(directory, "torch"), libraryPath: [] };
}

/**
 * Makes a directory in the cache where it is not there yet.
 * @param {string} name
 * @param {(target: string) => Promise<void>} fill
 * @returns {Promise<string>}
 */
async function once(name, fill) {
  const target = join(cacheDirectory(), name);
  if (existsSync(target)) return target;
  mkdirSync(cacheDirectory(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDirectory(), "fetch-"));
  try {
    await fill(temporary);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return target;
}

/**
 * @param {string} name
 * @param {Build} build
 * @param {string[]} mochaArgs
 * @returns {Promise<string>} the outcome
 */
async function test(name, build, mochaArgs) {
  const libraryPath = [...build.libraryPath, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  if (libraryPath !== "") process.env.LD_LIBRARY_PATH = libraryPath;
  const own = process.env.NEURON_BLIP_LIBTORCH;
  process.env.NEURON_BLIP_LIBTORCH = build.directory;
  const addon = await buildAddon({ directory: `build-libtorch/${name}` });
  const print = `process.stdout.write(require(${JSON.stringify(addon)}).libtorchVersion)`;
  const version = capture(process.execPath, ["-e", print]).stdout;
  const mocha = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
  const env = {
    ...process.env,
    NEURON_BLIP_ADDON: addon,
    NEURON_BLIP_LIBTORCH: own,
    ...(process.platform === "linux" && {
      NEURON_BLIP_STAND_IN_LIBRARIES: await buildStandIns({ directory: `build-libtorch/${name}-stand-ins` }),
    }),
  };
  let passed = true;
  for (const config of [".mocharc.json", "test/slow/.mocharc.json"]) {
    const code = await run(process.execPath, [mocha, "--config", config, ...mochaArgs], { cwd: root, env });
    passed &&= code === 0;
  }
  return `libtorch ${version}: built, tests ${passed ? "passed" : "FAILED"}`;
}

await runMain(async () => {
  const separator = process.argv.indexOf("--");
  const names = process.argv.slice(2, separator < 0 ? undefined : separator);
  const mochaArgs = separator < 0 ? [] : process.argv.slice(separator + 1);
  const environment = { ...process.env };
  const outcomes = [];
  for (const name of names.length > 0 ? names : Object.keys(BUILDS)) {
    console.log(`\n== ${name}`);
    process.env = { ...environment };
    try {
      const build = await (BUILDS[name]?.() ?? { directory: name, libraryPath: [] });
      outcomes.push(`${name}: ${await test(basename(name), build, mochaArgs)}`);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      outcomes.push(`${name}: FAILED: ${error.message}`);
    }
  }
  console.log(`\n${outcomes.join("\n")}`);
  return outcomes.some((outcome) => outcome.includes("FAILED")) ? 1 : 0;
});
