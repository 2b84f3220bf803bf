/** Probes of the host, whatever it runs: Node, the system, cores, memory and disks. */
import { createRequire } from "node:module";
import { packageFile } from "../../../util/package-file.js";
import { compareVersions, counted, inBytes } from "../../report/words.js";
import type { Examination } from "../examination.js";
import { about, type Finding } from "../finding.js";

export async function node({ host: { nodeVersion } }: Examination): Promise<Finding> {
  const file = packageFile("../package.json");
  const { engines } = createRequire(file)(file) as { engines: { node: string } };
  const oldest = /\d+(\.\d+)*/.exec(engines.node)?.[0] ?? "0";
  const { ok, problem } = about("node", { version: nodeVersion, oldest });
  if (compareVersions(nodeVersion, oldest) >= 0) return ok(`Node ${nodeVersion}.`);
  return problem(
    `This is Node ${nodeVersion}, and neuron-blip needs ${oldest} or newer.`,
    "Install a newer Node, from nodejs.org or with a version manager.",
  );
}

export async function platform({ host: { platform: system, arch, glibc } }: Examination): Promise<Finding> {
  const { ok, warning, problem } = about("platform", { platform: system, arch, glibc: glibc ?? null });
  if (system !== "linux" && system !== "darwin") {
    const what = `This is ${system}, and neuron-blip runs on Linux and macOS.`;
    return problem(what, "Use Linux, for instance in a container.");
  }
  if (arch !== "x64" && arch !== "arm64") {
    return problem(`This processor is ${arch}, and there is no libtorch for it.`, "Use a host with x64 or arm64.");
  }
  if (system === "linux" && glibc === undefined) {
    return warning(
      `${system}-${arch} without glibc (musl?), which the usual builds of libtorch need.`,
      "Use an image with glibc, such as Debian's or Ubuntu's instead of Alpine's, or a libtorch built for this system.",
    );
  }
  return ok(`${system}-${arch}${glibc === undefined ? "" : `, glibc ${glibc}`}.`);
}

/** Checks the cores, and what tells OpenMP, libtorch's threads, how many of them to use. */
export async function threads(examination: Examination): Promise<Finding | Finding[]> {
  const { host } = examination;
  const { loaded } = await examination.addon();
  const isOpenMp = (path: string) => /lib(gomp|iomp5|omp)[-.\w]*\.(so|dylib)/.test(path);
  const runtimes = loaded?.libraries.filter(isOpenMp) ?? [];
  const quota = await host.coreQuota();
  const { cores } = host;
  const setting = host.env.OMP_NUM_THREADS;
  const { ok, warning } = about("threads", { cores, quota, ompNumThreads: setting, runtimes });
  const usable = Math.max(1, Math.min(cores, Math.floor(quota ?? cores)));
  const first = Number(/^\s*(\d+)\s*(,|$)/.exec(setting ?? "")?.[1]);

  const findings: Finding[] = [];
  if (setting !== undefined && !(first > 0)) {
    const what = `OMP_NUM_THREADS is "${setting}", which is no number of threads; OpenMP ignores it.`;
    findings.push(warning(what, `Set it to a whole number of 1 or more, such as ${usable}, or unset it.`));
  } else if (first > usable) {
    const what = `OMP_NUM_THREADS is ${first}, and ${counted(usable, "core")} can be used: threads take them from each other.`;
    findings.push(warning(what, `Set it to ${usable} or less, or unset it.`));
  } else if (quota !== undefined && quota < cores && setting === undefined) {
    const what = `This container may use ${quota} of the ${cores} cores that it sees; libtorch starts a thread for each that it sees.`;
    findings.push(warning(what, `Set OMP_NUM_THREADS=${usable}, or give fromPretrained the option threads.`));
  }
  if (runtimes.length > 1) {
    const what = `libtorch brings several OpenMP libraries (${runtimes.join(", ")}), each with threads of its own.`;
    findings.push(warning(what, "Build with another libtorch: `NEURON_BLIP_LIBTORCH=… npx neuron-blip build`."));
  }
  if (findings.length > 0) return findings;
  return ok(`${counted(cores, "core")}.${setting === undefined ? "" : ` OMP_NUM_THREADS is ${setting}.`}`);
}

/** What Node and libtorch take before any model is loaded: about 150 MB were measured, without what runs take. */
const BASE = 200e6;

/** Compares the memory with what the replicas' weights take. */
export async function memory(examination: Examination): Promise<Finding> {
  const { available, total } = await examination.host.memory();
  const model = await examination.model();
  const replicas = examination.options.replicas ?? 1;
  const needed = BASE + (model?.bytes ?? 0) * replicas;
  const { ok, warning, problem } = about("memory", { available, total, needed, replicas });
  const has = `${inBytes(available)} of ${inBytes(total)} of memory free`;
  const who = replicas === 1 ? "the model takes" : `${replicas} replicas take`;
  const wants = model ? `${who} at least ${inBytes(needed)}` : `libtorch alone takes ${inBytes(needed)}`;
  if (needed <= available) return ok(model ? `${has}; ${wants}.` : `${has}.`);
  const cure = `${replicas > 1 ? "Load fewer replicas, e" : "E"}nd other programs, or use a host (or a container's limit) with more.`;
  return (needed > total ? problem : warning)(`${has}, and ${wants}.`, cure);
}

/** Less than this is as good as full. */
const LEAST_DISK = 100e6;

/**
 * Checks the disks of temporary files and of the model. AWS's runtime writes a model's files to the disk while it loads it; where
 * they do not fit, the process ends with SIGBUS.
 */
export async function disk(examination: Examination): Promise<Finding[]> {
  const { host } = examination;
  const temporary = host.env.TMPDIR || host.env.TMP || host.env.TEMP || host.at("/tmp");
  const model = await examination.model();
  const needed = model?.needsNeuron ? model.bytes : 0;
  const findings = [await temporaryDirectory(examination, temporary, needed)];
  if (!model || !(await host.isWritable(model.directory))) return findings; // what cannot be written to needs no space
  const free = await host.freeBytes(model.directory);
  const { ok, warning } = about("disk.model", { path: model.directory, free, needed });
  if (free >= Math.max(LEAST_DISK, needed)) return [...findings, ok(`${inBytes(free)} are free beside the model.`)];
  const what = `${inBytes(free)} are free on the model's disk ("${model.directory}").`;
  return [...findings, warning(what, "Free space there before you copy or compile a model to it.")];
}

async function temporaryDirectory({ host }: Examination, path: string, needed: number): Promise<Finding> {
  if (!(await host.isWritable(path))) {
    const what = `The directory for temporary files, "${path}", is not there or cannot be written to.`;
    const cure = "Make it, or set TMPDIR to a directory that can be written to.";
    return about("disk.temporary", { path }).problem(what, cure);
  }
  const free = await host.freeBytes(path);
  const { ok, warning, problem } = about("disk.temporary", { path, free, needed });
  const cure = "Free space there, or set TMPDIR to a directory on a larger disk.";
  if (free < needed) {
    return problem(
      `${inBytes(free)} are free for temporary files in "${path}", and the model has ${inBytes(needed)}: loading it onto ` +
        "NeuronCores can end the process with SIGBUS.",
      cure,
    );
  }
  if (free < LEAST_DISK) return warning(`${inBytes(free)} are free for temporary files in "${path}".`, cure);
  return ok(`${inBytes(free)} are free for temporary files ("${path}").`);
}
