// Fetches the pinned CPU build of libtorch with pip, for hosts that have none.
import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { capture, installCommand, pythons, run, SetupError } from "./host.mjs";

/** The build of torch that is fetched. */
export const PINNED_VERSION = "2.13.0";

/** PyTorch's own index of CPU builds. */
export const PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu";

/**
 * The pinned CPU build as pip names it. PyTorch's index marks Linux CPU builds so; the package of the same version without
 * the mark is the CUDA build there.
 */
export const REQUIREMENT = `torch==${PINNED_VERSION}${process.platform === "linux" ? "+cpu" : ""}`;
const SIZE = process.platform === "linux" ? "about 190 MB" : "about 80 MB";
// Only the C++ half of the wheel is used, so that its Python does not have to be the host's: every host fetches the same file.
const ONE_PYTHON = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];
if (process.platform === "linux" && process.arch === "x64") ONE_PYTHON.push("--platform", "manylinux_2_28_x86_64");

/**
 * The files that may be fetched, and their SHA-256. Each was checked by fetching that file; none is here on hearsay. The others
 * (Linux on arm64, macOS) wait for a host of their kind: until then NEURON_BLIP_LIBTORCH_SHA256 names them.
 * @type {Readonly<Record<string, string>>}
 */
export const KNOWN_FILES = {
  "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl":
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
};

/** Unpacks the C++ half of a wheel: headers, libraries, licences. What only Python uses is left out. */
const UNPACK = `
import sys, zipfile
wheel, target = sys.argv[1:]
wanted = ("torch/include/", "torch/lib/", "torch/.dylibs/", "torch/share/cmake/", "torch.libs/")
unwanted = ("torch/lib/libtorch_python.", "torch/lib/libshm", "torch/lib/libtorchbind_test.", "torch/lib/libjitbackend_test.",
            "torch/lib/libbackend_with_compiler.", "torch/lib/libaoti_custom_ops.")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        licence = ".dist-info/" in name and "LICENSE" in name.upper()
        if (name.startswith(wanted) and not name.startswith(unwanted)) or licence or name == "torch/version.py":
            archive.extract(name, target)
`;

/** @returns {string} the directory that fetched files are kept in, which may not exist */
export function cacheDirectory() {
  const base = process.env.NEURON_BLIP_CACHE || process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return join(base, "neuron-blip");
}

/** @returns {string} where the pinned build is kept */
function pinnedDirectory() {
  return join(cacheDirectory(), `libtorch-${PINNED_VERSION}-cpu`);
}

/** @returns {string | undefined} the directory of the pinned build, where it was fetched before */
export function cachedLibtorch() {
  const directory = pinnedDirectory();
  return existsSync(directory) ? directory : undefined;
}

/**
 * Fetches the pinned CPU build into the cache.
 * @param {{log: (line: string) => void}} options
 * @returns {Promise<string>} its directory
 * @throws {SetupError} where fetching is forbidden, where Python or pip is missing, where the fetch fails, or where it brings another
 * file than those that are known
 */
export async function fetchLibtorch({ log }) {
  const own =
    "To use a libtorch of your own, set NEURON_BLIP_LIBTORCH to its directory, or install torch in the active Python.";
  if (process.env.NEURON_BLIP_NO_DOWNLOAD && process.env.NEURON_BLIP_NO_DOWNLOAD !== "0") {
    throw new SetupError(`No libtorch on this host, and NEURON_BLIP_NO_DOWNLOAD forbids fetching one. ${own}`);
  }
  namedHash();
  const python = pythonWithPip(own);
  const target = pinnedDirectory();
  log(`No libtorch on this host: fetching ${REQUIREMENT} (${SIZE}; the CPU build of PyTorch) with pip into ${target}`);
  log(`To forbid this set NEURON_BLIP_NO_DOWNLOAD=1. ${own}`);
  mkdirSync(cacheDirectory(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDirectory(), "fetch-"));
  const removeTemporary = () => rmSync(temporary, { recursive: true, force: true });
  process.once("exit", removeTemporary);
  try {
    const wheel = await download(python, join(temporary, "wheel"), log);
    if (wheel === undefined) {
      throw new SetupError(`pip could not fetch ${REQUIREMENT} (its own words are above). ${own}`);
    }
    await checkFile(wheel);
    log(`Unpacking ${basename(wheel)} (${Math.round(statSync(wheel).size / 1e6)} MB)`);
    const unpacked = join(temporary, "unpacked");
    const { ok, stderr } = capture(python, ["-c", UNPACK, wheel, unpacked]);
    if (!ok) throw new SetupError(`${wheel} could not be unpacked: ${stderr.trim()}`);
    moveInPlace(unpacked, target);
    return target;
  } finally {
    removeTemporary();
    process.off("exit", removeTemporary);
  }
}

/**
 * Refuses a file that is not one of those that are known, or that NEURON_BLIP_LIBTORCH_SHA256 names, before anything in it is used.
 * @param {string} path
 * @throws {SetupError} and removes the file
 */
async function checkFile(path) {
  const name = basename(path);
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  const found = hash.digest("hex");
  if (found === namedHash() || found === KNOWN_FILES[name]) return;
  rmSync(path);
  const known = Object.entries(KNOWN_FILES).map(([file, sha256]) => `  ${sha256}  ${file}`);
  const why = Object.hasOwn(KNOWN_FILES, name)
    ? `is not the file of that name that is known: it was changed on its way, or at its source`
    : `is not one of the files that are known`;
  throw new SetupError(
    `${name} ${why}. Its SHA-256 is ${found}. It was removed, and nothing of it used. Known are:\n${known.join("\n")}\n` +
      "If you have its SHA-256 from a source that you trust, and it is the same, set NEURON_BLIP_LIBTORCH_SHA256 to it.",
  );
}

/**
 * @returns {string | undefined} the SHA-256 that the user vouches for
 * @throws {SetupError}
 */
function namedHash() {
  const named = process.env.NEURON_BLIP_LIBTORCH_SHA256?.trim().toLowerCase();
  if (!named) return undefined;
  if (/^[0-9a-f]{64}$/.test(named)) return named;
  throw new SetupError(
    `NEURON_BLIP_LIBTORCH_SHA256 must be a SHA-256, 64 hexadecimal digits, not "${named.slice(0, 80)}".`,
  );
}

/**
 * Moves the finished directory to its place at once, so that no one ever sees half of it.
 * @param {string} from
 * @param {string} to
 */
function moveInPlace(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    // Another process was quicker: its result is as good.
    if (!existsSync(to)) throw error;
  }
}

/**
 * @param {string} own what the user may do instead
 * @returns {string} a Python that has pip
 */
function pythonWithPip(own) {
  const found = pythons().filter((python) => existsSync(python));
  const python = found.find((candidate) => capture(candidate, ["-m", "pip", "--version"]).ok);
  if (python !== undefined) return python;
  const command = installCommand({ apt: "python3-pip", dnf: "python3-pip", brew: "brew install python" });
  throw new SetupError(
    `No libtorch on this host, and fetching it needs Python 3 with pip, but ` +
      `${found.length === 0 ? "there is no Python" : `${found[0]} has no pip`}. Install it: ${command}\n${own}`,
  );
}

/**
 * @param {string} python
 * @param {string} directory
 * @param {(line: string) => void} log
 * @returns {Promise<string | undefined>} the wheel's path; undefined where no attempt got it
 */
async function download(python, directory, log) {
  const index = ["--extra-index-url", PYTORCH_CPU_INDEX];
  // First as pip is set up here, which may know a mirror or a directory of wheels, then with PyTorch's own index. Few
  // retries: where a network does not answer, each costs seconds. Whatever file the host's own Python would get is tried only
  // where the user vouches for it.
  const attempts = [ONE_PYTHON];
  if (process.platform === "linux") attempts.push([...ONE_PYTHON, ...index]);
  if (namedHash() !== undefined) attempts.push(...(process.platform === "linux" ? [[], index] : [[]]));
  for (const [number, extra] of attempts.entries()) {
    const last = number === attempts.length - 1;
    const args = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", directory];
    args.push("--retries", number === 0 ? "0" : "2", "--disable-pip-version-check", ...extra, REQUIREMENT);
    log(`  ${basename(python)} ${args.join(" ")}`);
    // What pip says when it fails is shown for the last attempt only: the earlier ones may well fail.
    const code = await run(python, args, { stdio: ["ignore", "inherit", last ? "inherit" : "ignore"] });
    const wheel = code === 0 ? readdirSync(directory).find((name) => name.endsWith(".whl")) : undefined;
    if (wheel !== undefined) return join(directory, wheel);
    if (!last) log("  not there; trying elsewhere");
  }
  return undefined;
}
