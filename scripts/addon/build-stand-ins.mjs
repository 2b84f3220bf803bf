// Builds the stand-ins for the AWS Neuron runtime, test/stand-ins, against the libtorch that the addon is built against. For
// tests only; does nothing where all is up to date.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { capture, runMain, SetupError } from "./host.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const sources = join(root, "test", "stand-ins");

/**
 * Builds the stand-ins where they are not up to date.
 * @param {{directory?: string}} [options] directory: where to build, relative to the project; default build/stand-ins
 * @returns {Promise<string>} the directory that holds libtorchneuron.so and libnrt.so.1
 * @throws {SetupError} where the host is not Linux, or they do not build
 */
export async function buildStandIns({ directory = join("build", "stand-ins") } = {}) {
  if (process.platform !== "linux") throw new SetupError("the stand-ins for the Neuron runtime build on Linux only.");
  const buildDir = join(root, directory);
  mkdirSync(buildDir, { recursive: true });
  return withLock(join(buildDir, ".lock"), async () => {
    const libtorch = await findLibtorch({ log: say });
    const libraries = join(buildDir, "lib");
    const stampFile = join(buildDir, "stamp.json");
    const stamp = JSON.stringify({ libtorch, root, cxx: process.env.CXX, sources: digestSources() }, null, 2);
    const built = ["libtorchneuron.so", "libnrt.so.1"].every((name) => existsSync(join(libraries, name)));
    if (built && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return libraries;

    say(`building the stand-ins for the Neuron runtime against ${libtorch.label}`);
    // All is made anew: it takes half a minute, and what another libtorch or compiler made must not be mixed in.
    for (const made of ["cmake", "lib", "stamp.json"]) rmSync(join(buildDir, made), { recursive: true, force: true });
    const cmakeDir = join(buildDir, "cmake");
    const defines = {
      CMAKE_BUILD_TYPE: "Release",
      NEURON_BLIP_TORCH_INCLUDE_DIRS: libtorch.includeDirs.join(";"),
      NEURON_BLIP_TORCH_LIB_DIR: libtorch.libDir,
      NEURON_BLIP_TORCH_CXX11_ABI: String(libtorch.cxx11Abi),
    };
    const flags = Object.entries(defines).map(([key, value]) => `-D${key}=${value}`);
    // Two at once: each takes more than a gigabyte for libtorch's headers.
    for (const step of [
      ["-S", sources, "-B", cmakeDir, ...flags],
      ["--build", cmakeDir, "--parallel", "2"],
    ]) {
      const { ok, stdout, stderr } = capture("cmake", step);
      if (ok) continue;
      throw new SetupError(`the stand-ins did not build against ${libtorch.label}:\n${stdout}${stderr}`);
    }
    writeFileSync(stampFile, stamp);
    return libraries;
  });
}

/** @param {string} line */
function say(line) {
  console.error(`neuron-blip: ${line}`);
}

/** @returns {string} a digest of every file that the libraries are made from */
function digestSources() {
  const hash = createHash("sha256");
  for (const name of readdirSync(sources, { recursive: true, encoding: "utf8" }).sort()) {
    if (!/\.(cc|h|map|txt)$/.test(name)) continue;
    hash.update(`${name}\0`).update(readFileSync(join(sources, name)));
  }
  return hash.digest("hex");
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    if (process.platform === "linux") console.log(await buildStandIns());
  });
}
