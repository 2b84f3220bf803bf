import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { availableParallelism, cpus, freemem, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { codeOf } from "../../errors.js";
import { runningGlibc } from "../../torch/binary/glibc.js";
import { native } from "../../torch/native.js";
import { findLibnrt } from "../../torch/neuron/find-libraries.js";

export type HostFacts = Awaited<ReturnType<Host["facts"]>>;
type NeuronCores = { total: number; visible: number };
export type RuntimeFacts = ReturnType<typeof runtimeFacts>;

/** What the parts ran on. */
export type RanOn = "cpu" | "neuron" | "stand-in";

/** How a program ended. */
export interface Ended {
  /** null where a signal ended it, or where it did not start. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  /** Why it did not start. */
  readonly error?: string;
}

type MadeUp = "root" | "env" | "platform" | "arch" | "nodeVersion" | "node" | "glibc" | "cores" | "freeBytes";
export type HostOptions = { -readonly [Name in MadeUp]?: Host[Name] };

/**
 * All that the tools know of the computer they run on, in one place, so that tests can make hosts up: directories that stand
 * for a root, with the files of a driver and programs that answer as AWS's do.
 */
export class Host {
  /** The directory below which the system's own files (/dev, /sys, /opt, …) are looked at. */
  readonly root: string = "/";
  readonly env: Readonly<Record<string, string | undefined>> = process.env;
  readonly platform: string = process.platform;
  readonly arch: string = process.arch;
  /** Without the "v". */
  readonly nodeVersion: string = process.versions.node;
  /** The program that child processes run JavaScript with. */
  readonly node: string = process.execPath;
  /** Such as "2.36"; undefined where the C library is another. */
  readonly glibc: string | undefined = runningGlibc();
  /** Cores that this process may run on. */
  readonly cores: number = availableParallelism();
  /** Counts the bytes that this user may still write where a path is. @throws where that cannot be told. */
  readonly freeBytes: (path: string) => Promise<number> = async (path) => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  };

  /** @param made what a test's host has in place of this one's. */
  constructor(made: HostOptions = {}) {
    Object.assign(this, made);
  }

  /** Says where a file of the system is, such as "/dev/neuron0". */
  at(path: string): string {
    return join(this.root, path);
  }

  /** Reads a file's text; undefined where there is no such file. @throws what reading throws otherwise. */
  read(path: string): Promise<string | undefined> {
    return readFile(path, "utf8").catch((error) => unlessAbsent(error, undefined));
  }

  /** Reads a file's text, trimmed; undefined where there is none, and where this user may not read it. */
  readIfAllowed(path: string): Promise<string | undefined> {
    return readFile(path, "utf8").then(
      (text) => text.trim(),
      () => undefined,
    );
  }

  /** Lists the names in a directory, sorted; none where there is no such directory. @throws what reading throws otherwise. */
  async list(path: string): Promise<string[]> {
    return (await readdir(path).catch((error) => unlessAbsent<string[]>(error, []))).sort();
  }

  async exists(path: string): Promise<boolean> {
    return (await this.size(path)) !== undefined;
  }

  /** Returns a file's size in bytes; undefined where there is nothing. */
  async size(path: string): Promise<number | undefined> {
    return (await stat(path).catch(() => undefined))?.size;
  }

  /** Tells whether this user may read and write there. */
  isWritable(path: string): Promise<boolean> {
    return access(path, constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
  }

  /** Counts the bytes that can be had without swapping, and the most that this host or its container has. */
  async memory(): Promise<{ available: number; total: number }> {
    const info = (await this.read(this.at("/proc/meminfo"))) ?? "";
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(info)?.[1]) * 1024;
    const available = kilobytes("MemAvailable") || freemem();
    const total = kilobytes("MemTotal") || totalmem();
    const limit = Number(await this.read(this.at("/sys/fs/cgroup/memory.max")));
    const used = Number(await this.read(this.at("/sys/fs/cgroup/memory.current")));
    if (!(limit > 0) || !(used >= 0)) return { available, total }; // no limit: "max", or no such file
    return { available: Math.min(available, Math.max(0, limit - used)), total: Math.min(total, limit) };
  }

  /** Says how many cores' worth of time a container's limit allows; undefined where there is no limit. */
  async coreQuota(): Promise<number | undefined> {
    const quota = await this.read(this.at("/sys/fs/cgroup/cpu.max"));
    const [most = 0, period = 0] = (quota ?? "").trim().split(" ").map(Number);
    return most > 0 && period > 0 ? most / period : undefined;
  }

  /** Reads the version of Neuron's kernel driver; undefined where it is not loaded. @throws what reading throws otherwise. */
  async neuronDriver(): Promise<string | undefined> {
    return (await this.read(this.at("/sys/module/neuron/version")))?.trim();
  }

  /** Describes this host, without names of persons or machines: reports are made to be sent. */
  async facts() {
    const system = /^PRETTY_NAME="?([^"\n]*)/m.exec((await this.readIfAllowed(this.at("/etc/os-release"))) ?? "")?.[1];
    const neuronDriver = await this.neuronDriver().catch(() => undefined);
    return {
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: this.cores,
      memory: totalmem(),
      kernel: `${type()} ${release()}`,
      system: system ?? type(),
      architecture: this.arch,
      /** Undefined where it is not loaded. */
      ...(neuronDriver !== undefined && { neuronDriver }),
    };
  }

  /** Runs a program to its end, at most `seconds` long, or until it is aborted. Never throws. */
  run(program: string, args: readonly string[], seconds: number, signal?: AbortSignal): Promise<Ended> {
    const options = {
      env: { ...this.env },
      timeout: seconds * 1000,
      killSignal: "SIGKILL" as const,
      maxBuffer: 16 << 20,
      ...(signal && { signal }),
    };
    return new Promise((resolve) => {
      execFile(program, args, options, (error, stdout, stderr) => {
        const ended = { stdout, stderr, timedOut: false, signal: null };
        if (error === null) resolve({ ...ended, code: 0 });
        else if (error.killed) resolve({ ...ended, code: null, signal: "SIGKILL", timedOut: true });
        else if (typeof error.code === "number") resolve({ ...ended, code: error.code });
        else if (error.signal) resolve({ ...ended, code: null, signal: error.signal });
        else resolve({ ...ended, code: null, error: error.message });
      });
    });
  }

  /** Runs a JavaScript file in a process of its own. */
  runNode(script: string, args: readonly string[], seconds: number, signal?: AbortSignal): Promise<Ended> {
    return this.run(this.node, [script, ...args], seconds, signal);
  }
}

/**
 * Names the libraries of this process, and what the Neuron runtime says of itself, where there is one. It claims no NeuronCore.
 * @throws NeuronBlipError why the addon does not load.
 */
export function runtimeFacts(): { libtorch: string; cxx11Abi: number; libnrt?: string; neuronCores?: NeuronCores } {
  const { libtorchVersion: libtorch, cxx11Abi } = native();
  const { path } = findLibnrt();
  if (path === undefined) return { libtorch, cxx11Abi };
  try {
    const { version, totalCores: total, visibleCores: visible } = native().describeNrt(path);
    return { libtorch, cxx11Abi, libnrt: version, neuronCores: { total, visible } };
  } catch {
    return { libtorch, cxx11Abi, libnrt: "does not load" };
  }
}

/** Says what parts run on. A stand-in says so in its version; whoever uses one sets NEURON_BLIP_STAND_IN. */
export function ranOnOf(usesNeuron: boolean, { libnrt }: RuntimeFacts): RanOn {
  if (!usesNeuron) return "cpu";
  return process.env.NEURON_BLIP_STAND_IN || /stand-?in/i.test(libnrt ?? "") ? "stand-in" : "neuron";
}

export const RAN_ON: Readonly<Record<RanOn, string>> = {
  cpu: "the CPU",
  neuron: "NeuronCores",
  "stand-in": "a stand-in for the Neuron runtime: says nothing about hardware",
};

function unlessAbsent<T>(error: unknown, otherwise: T): T {
  if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return otherwise;
  throw error;
}
