// Finds the libtorch to build against. Run by itself it prints what it would use, and why not the others.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { cachedLibtorch, fetchLibtorch } from "./fetch-libtorch.mjs";
import { capture, pythons, runMain, SetupError } from "./host.mjs";

/**
 * @typedef {object} Libtorch
 * @property {"environment" | "python" | "neuron-venv" | "system" | "cache"} origin where it was found
 * @property {string} label for people: what it is and where
 * @property {string} version such as "2.13.0+cpu"
 * @property {string[]} includeDirs for the compiler
 * @property {string} libDir has libtorch_cpu and libc10
 * @property {0 | 1} cxx11Abi the value of _GLIBCXX_USE_CXX11_ABI it was built with
 * @property {boolean} cuda whether it is a CUDA build
 */

/** The oldest libtorch that this project builds against. */
export const OLDEST_VERSION = "1.13";

const EXTENSION = process.platform === "darwin" ? "dylib" : "so";
const MULTIARCH = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;

/**
 * Finds libtorch: the environment variable NEURON_BLIP_LIBTORCH, the active Python's torch, the newest AWS Neuron venv, the
 * system's, else the pinned CPU build from the cache, which is fetched where it is not there yet.
 * @param {{log?: (line: string) => void, hostRoot?: string, named?: string, beforeFetch?: () => void}} [options] log: told of
 * candidates that will not do, and of the fetch; hostRoot: the directory below which /usr and /opt are looked at, for tests; named: a
 * directory to take instead of all others; beforeFetch: called before anything is fetched, and may throw
 * @returns {Promise<Libtorch>}
 * @throws {SetupError} where the environment variable is wrong, or nothing is found and nothing may or can be fetched
 */
export async function findLibtorch({ log = () => {}, hostRoot = "/", named, beforeFetch = () => {} } = {}) {
  if (named !== undefined) return explicitLibtorch("--libtorch", named);
  const explicit = process.env.NEURON_BLIP_LIBTORCH;
  if (explicit) return explicitLibtorch("NEURON_BLIP_LIBTORCH", explicit);
  for (const candidate of hostCandidates(hostRoot)) {
    const reason = unsuitable(candidate);
    if (reason === undefined) return candidate;
    log(`not using ${candidate.label}: ${reason}`);
  }
  let directory = cachedLibtorch();
  if (directory === undefined) {
    beforeFetch();
    directory = await fetchLibtorch({ log });
  }
  const fetched = inspect(join(directory, "torch"), "cache");
  if (fetched === undefined) {
    throw new SetupError(`${directory} is not a whole libtorch. Remove that directory and build again.`);
  }
  return fetched;
}

/**
 * @param {string} name of the option or variable
 * @param {string} value
 * @returns {Libtorch}
 */
function explicitLibtorch(name, value) {
  const directory = resolve(value);
  const places = [directory, join(directory, "torch"), join(directory, "usr"), ...venvTorches(directory)];
  for (const place of places) {
    const found = inspect(place, "environment");
    if (found === undefined) continue;
    const reason = unsuitable(found);
    if (reason !== undefined) throw new SetupError(`${name}=${value}: ${reason}.`);
    return found;
  }
  throw new SetupError(
    `${name}=${value}: no libtorch there${existsSync(directory) ? "" : ", the directory does not exist"}. ` +
      `It must name a libtorch directory or the directory of Python's torch package: one that holds include/ and ` +
      `lib/libtorch_cpu.${EXTENSION}. Correct it, or leave it out to let the build find a libtorch.`,
  );
}

/**
 * @param {string} hostRoot
 * @returns {Generator<Libtorch>} what this host has, in the order of preference
 */
function* hostCandidates(hostRoot) {
  const seen = new Set();
  for (const [directory, origin] of hostDirectories(hostRoot)) {
    const real = existsSync(directory) ? realpathSync(directory) : directory;
    if (seen.has(real)) continue;
    seen.add(real);
    const found = inspect(directory, origin);
    if (found !== undefined) yield found;
  }
}

/**
 * @param {string} hostRoot
 * @returns {Generator<[string, Libtorch["origin"]]>}
 */
function* hostDirectories(hostRoot) {
  const asked = new Set();
  for (const python of pythons()) {
    if (!existsSync(python) || asked.has(realpathSync(python))) continue;
    asked.add(realpathSync(python));
    const torch = torchOfPython(python);
    if (torch !== undefined) yield [torch, "python"];
  }
  for (const torch of neuronVenvTorches(join(hostRoot, "opt"))) yield [torch, "neuron-venv"];
  for (const prefix of ["usr", "usr/local", "usr/local/libtorch", "opt/libtorch"]) {
    yield [join(hostRoot, prefix), "system"];
  }
}

/**
 * Where a Python has its torch. Python finds it without importing it, which would take seconds.
 * @param {string} python
 * @returns {string | undefined}
 */
function torchOfPython(python) {
  const script = [
    "import sys, importlib.util",
    "sys.path = [p for p in sys.path if p]", // else a directory called torch in the working directory would be found
    "spec = importlib.util.find_spec('torch')",
    "print(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else '')",
  ].join("\n");
  const { ok, stdout } = capture(python, ["-c", script], { cwd: tmpdir() });
  return (ok && stdout.trim()) || undefined;
}

/**
 * @param {string} venv
 * @returns {string[]} the torch package directories in a Python environment
 */
function venvTorches(venv) {
  return list(join(venv, "lib"))
    .filter((name) => name.startsWith("python3"))
    .map((name) => join(venv, "lib", name, "site-packages", "torch"));
}

/**
 * @param {string} directory that the environments are in
 * @returns {string[]} the torch directories of the AWS Neuron environments, the newest torch first
 */
function neuronVenvTorches(directory) {
  return list(directory)
    .filter((name) => name.startsWith("aws_neuronx_venv_pytorch"))
    .sort((a, b) => a.length - b.length) // the plain environment before those for one product
    .flatMap((name) => venvTorches(join(directory, name)))
    .map((torch) => ({ torch, version: torchVersion(torch, join(torch, "include")) ?? "0" }))
    .sort((a, b) => compareVersions(b.version, a.version))
    .map(({ torch }) => torch);
}

/**
 * Reads what a directory holds.
 * @param {string} directory a libtorch directory, a torch package or a prefix such as /usr
 * @param {Libtorch["origin"]} origin
 * @returns {Libtorch | undefined} undefined where there is no libtorch to build against
 */
function inspect(directory, origin) {
  const api = join(directory, "include", "torch", "csrc", "api", "include");
  const libDir = ["lib", join("lib", MULTIARCH), "lib64"]
    .map((name) => join(directory, name))
    .find(
      (path) => existsSync(join(path, `libtorch_cpu.${EXTENSION}`)) && existsSync(join(path, `libc10.${EXTENSION}`)),
    );
  if (libDir === undefined || !existsSync(join(api, "torch", "torch.h"))) return undefined;
  const version = torchVersion(directory, join(directory, "include"));
  if (version === undefined) return undefined;
  return {
    origin,
    label: `libtorch ${version} (${describe(origin)}, ${directory})`,
    version,
    includeDirs: [join(directory, "include"), api],
    libDir: resolve(libDir),
    cxx11Abi: cxx11Abi(join(libDir, `libc10.${EXTENSION}`)),
    cuda: existsSync(join(libDir, `libtorch_cuda.${EXTENSION}`)),
  };
}

/** @param {Libtorch["origin"]} origin */
function describe(origin) {
  return {
    environment: "the one that was named",
    python: "the active Python's torch",
    "neuron-venv": "AWS Neuron's environment",
    system: "the system's",
    cache: "the pinned CPU build",
  }[origin];
}

/**
 * @param {string} directory
 * @param {string} include
 * @returns {string | undefined}
 */
function torchVersion(directory, include) {
  const python = /^__version__(?:\s*:\s*\w+)?\s*=\s*['"]([^'"]+)/m.exec(read(join(directory, "version.py")));
  if (python?.[1] !== undefined) return python[1];
  for (const header of ["torch/csrc/api/include/torch/version.h", "torch/headeronly/version.h"]) {
    const text = read(join(include, header));
    const parts = ["MAJOR", "MINOR", "PATCH"].map(
      (part) => new RegExp(`TORCH_VERSION_${part}\\s+(\\d+)`).exec(text)?.[1],
    );
    if (parts.every((part) => part !== undefined)) return parts.join(".");
  }
  return undefined;
}

/**
 * The C++ ABI of a library, from the name that c10's error function has in it: the one thing that cannot be out of date.
 * @param {string} libC10
 * @returns {0 | 1}
 */
function cxx11Abi(libC10) {
  return contains(libC10, "torchCheckFailEPKcS2_jRKSs") ? 0 : 1;
}

/**
 * @param {string} path
 * @param {string} text ASCII
 * @returns {boolean} whether the file has that text in it
 */
function contains(path, text) {
  const file = openSync(path, "r");
  try {
    const buffer = Buffer.alloc(fstatSync(file).size);
    readSync(file, buffer, 0, buffer.length, 0);
    return buffer.includes(text, 0, "latin1");
  } finally {
    closeSync(file);
  }
}

/**
 * @param {Libtorch} candidate
 * @returns {string | undefined} why it cannot be used
 */
function unsuitable(candidate) {
  if (compareVersions(candidate.version, OLDEST_VERSION) < 0) {
    return `it is version ${candidate.version}, and the oldest that works is ${OLDEST_VERSION}`;
  }
  return undefined;
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} negative where a is the older
 */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map((version) => (version.match(/^\d+(\.\d+)*/)?.[0] ?? "0").split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** @param {string} path */
function read(path) {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** @param {string} path */
function list(path) {
  return existsSync(path) ? readdirSync(path) : [];
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runMain(async () => {
    console.log(JSON.stringify(await findLibtorch({ log: (line) => console.error(line) }), null, 2));
  });
}
