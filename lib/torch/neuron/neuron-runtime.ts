import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { NeuronBlipError } from "../../errors.js";
import { packageFile } from "../../util/package-file.js";
import { chosenBinary, fromNative, native } from "../native.js";
import { formatCores, parseCores } from "./cores.js";
import { findLibnrt, findLibtorchneuron, torchVersionBeside } from "./find-libraries.js";
import { sdkVersions } from "./sdk-versions.js";

export interface NeuronRuntimeOptions {
  /**
   * libtorchneuron.so, or its directory. Default: NEURON_BLIP_LIBTORCHNEURON, then the active Python's torch_neuronx, then
   * /opt/aws_neuronx_venv_pytorch*. Only looked for when an artifact needs it.
   */
  libtorchneuron?: string;
  /**
   * The NeuronCores that this process may use, such as "0-1" or [0, 1]: they must follow each other. Default:
   * NEURON_RT_VISIBLE_CORES, then NEURON_RT_NUM_CORES, then all. They can be chosen once, before the first artifact that
   * needs them is loaded, and are this process's until it ends.
   */
  cores?: string | readonly number[];
}

/** What this process loaded; it cannot be changed afterwards. */
interface LoadedRuntime {
  readonly library: string;
  readonly cores: string | undefined;
}

let loading: Promise<LoadedRuntime> | undefined;

/**
 * Loads AWS Neuron's libtorch extension into this process, once, before the first artifact that needs it.
 * @param artifact the file that needs it, for the message.
 * @throws NeuronBlipError `NEURON_RUNTIME_NOT_FOUND` with the places looked at; `NEURON_RUNTIME_MISMATCH` where it does not fit
 * the libtorch in use; `NEURON_CORES_UNAVAILABLE` where other cores were chosen before; `INVALID_INPUT`.
 */
export async function loadNeuronRuntime(options: NeuronRuntimeOptions, artifact: string): Promise<void> {
  const cores = options.cores === undefined ? undefined : formatCores(parseCores(options.cores));
  loading ??= load(options, cores, artifact).catch((error) => {
    loading = undefined; // the next call may be on a mended host
    throw error;
  });
  const loaded = await loading;
  if (cores !== undefined && cores !== loaded.cores) {
    throw new NeuronBlipError(
      "NEURON_CORES_UNAVAILABLE",
      `Cores ${cores} were asked for, and this process uses ${loaded.cores ?? "all"} already: cores are chosen before the ` +
        "first model is loaded, and kept until the process ends.",
    );
  }
}

async function load(
  options: NeuronRuntimeOptions,
  cores: string | undefined,
  artifact: string,
): Promise<LoadedRuntime> {
  const { path, places } = findLibtorchneuron({ path: options.libtorchneuron });
  if (path === undefined) {
    throw new NeuronBlipError(
      "NEURON_RUNTIME_NOT_FOUND",
      `"${artifact}" was compiled for AWS Neuron, and libtorchneuron.so was not found` +
        `${places.length > 0 ? ` (${places.join(", ")})` : ": no Python here has torch_neuronx, and there is no /opt/aws_neuronx_venv_pytorch*"}. ` +
        `On an Inf2 host install it (\`pip install torch-neuronx==${sdkVersions().pip["torch-neuronx"]}\`, from AWS's package index; ` +
        `${sdkVersions().newer_torch}), or set ` +
        "NEURON_BLIP_LIBTORCHNEURON to the file; for this host, compile with `npx neuron-blip compile MODEL DIR --target cpu`. `npx neuron-blip doctor` tells more.",
    );
  }
  checkTorchVersion(path);
  const libraries = inOrder(path);
  await testLoad(path, libraries);
  // libnrt reads it when it is initialised, by the first load.
  if (cores !== undefined) native().setEnvironment("NEURON_RT_VISIBLE_CORES", cores);
  try {
    for (const library of libraries) native().loadLibrary(library);
  } catch (error) {
    throw fromNative(error);
  }
  return { library: path, cores: cores ?? coresOfEnvironment() };
}

/** Lists what is to be loaded: libnrt.so.1 by its full path first, since the dynamic linker need not know /opt/aws/neuron/lib. */
function inOrder(libtorchneuron: string): string[] {
  const { path } = findLibnrt();
  return path === undefined ? [libtorchneuron] : [path, libtorchneuron];
}

/**
 * Counts the NeuronCores that this process may use, without claiming any; undefined where there is no runtime that tells.
 * @throws NeuronBlipError `INVALID_INPUT` for cores that are none.
 */
export function visibleCores(cores?: string | readonly number[]): number | undefined {
  if (cores !== undefined) return parseCores(cores).length;
  const { path } = findLibnrt();
  if (path === undefined) return undefined;
  try {
    const count = native().describeNrt(path).visibleCores;
    return count < 0 ? undefined : count;
  } catch {
    return undefined; // whoever loads the model gets the reason
  }
}

/** Says what to do where the dynamic linker refuses libtorchneuron.so with these words. */
export function cureOfRefusal(failure: string): string {
  const glibc = /GLIBC_(2\.\d+)'? not found/.exec(failure)?.[1];
  if (glibc !== undefined) {
    return (
      `It needs glibc ${glibc}: use a system that has it, such as Ubuntu ${sdkVersions().systems.join(" or ")}, not Amazon Linux 2023. ` +
      "`npx neuron-blip doctor` tells more."
    );
  }
  if (/libnrt\.so[^:]*: cannot open shared object/.test(failure)) {
    return (
      "The Neuron runtime is not where it is looked for: `sudo apt-get install aws-neuronx-runtime-lib`, or set " +
      "NEURON_BLIP_LIBNRT to libnrt.so.1."
    );
  }
  const undefinedSymbol = /undefined symbol/.test(failure) ? "Its torch is of another version or C++ ABI. " : "";
  return (
    `${undefinedSymbol}Build neuron-blip against the torch of the same Python environment: ` +
    "NEURON_BLIP_LIBTORCH=…/site-packages/torch npx neuron-blip build"
  );
}

/** Reads the environment's cores, as `formatCores` writes them; undefined for all, and for what only libnrt can read. */
function coresOfEnvironment(): string | undefined {
  const { NEURON_RT_VISIBLE_CORES: visible } = process.env;
  try {
    return visible ? formatCores(parseCores(visible)) : undefined;
  } catch {
    return visible;
  }
}

function checkTorchVersion(path: string): void {
  const theirs = torchVersionBeside(path);
  const ours = native().libtorchVersion;
  const minor = (version: string) => version.split(".").slice(0, 2).join(".");
  if (theirs === undefined || minor(theirs) === minor(ours)) return;
  throw new NeuronBlipError(
    "NEURON_RUNTIME_MISMATCH",
    `"${path}" was made for torch ${theirs}, and neuron-blip was built against libtorch ${ours}. Build it against the same: ` +
      `NEURON_BLIP_LIBTORCH=${join(dirname(dirname(dirname(path))), "torch")} npx neuron-blip build`,
  );
}

/**
 * Loads the library in a child process first: one that does not fit can crash the process that loads it. A pair of library
 * and addon that has loaded once is remembered.
 */
async function testLoad(path: string, libraries: readonly string[]): Promise<void> {
  const stamps = await Promise.all(
    [...libraries, chosenBinary().addon].map(async (file) => `${file} ${(await stat(file)).mtimeMs}`),
  );
  const key = createHash("sha256").update(stamps.join("\n")).digest("hex").slice(0, 32);
  const cache =
    process.env.NEURON_BLIP_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "neuron-blip");
  const remembered = join(cache, "neuron-loads", key);
  if (
    await readFile(remembered).then(
      () => true,
      () => false,
    )
  )
    return;

  const script = packageFile("torch/neuron/test-load.js");
  const failure = await new Promise<string | undefined>((resolve) => {
    execFile(process.execPath, [script, ...libraries], { timeout: 120_000 }, (error, stdout, stderr) => {
      if (stdout.includes("loaded")) return resolve(undefined);
      if (error?.signal) return resolve(`it ends the process with ${error.signal}.`);
      resolve(stderr.trim().split("\n").at(-1) || `it ends the process with exit code ${error?.code ?? 0}.`);
    });
  });
  if (failure !== undefined) {
    throw new NeuronBlipError(
      "NEURON_RUNTIME_MISMATCH",
      `"${path}" does not load beside libtorch ${native().libtorchVersion}: ${failure.slice(0, 400)} ${cureOfRefusal(failure)}`,
    );
  }
  // Only saves time.
  await mkdir(dirname(remembered), { recursive: true }).catch(() => {});
  await writeFile(remembered, stamps.join("\n")).catch(() => {});
}
