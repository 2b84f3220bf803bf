import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { availableParallelism, freemem, totalmem } from "node:os";
import { join } from "node:path";
import { codeOf } from "../../errors.js";
import { runningGlibc } from "../../torch/binary/glibc.js";

export interface HostOptions {
  /** The directory below which the system's own files (/dev, /sys, /opt, …) are looked at. Default "/". */
  root?: string;
  env?: Readonly<Record<string, string | undefined>>;
  platform?: string;
  arch?: string;
  /** Without the "v". */
  nodeVersion?: string;
  /** The program that child processes run JavaScript with. Default: the one that runs this. */
  node?: string;
  /** Such as "2.36"; undefined where the C library is another. */
  glibc?: string | undefined;
  /** Cores that this process may run on. */
  cores?: number;
  /** Bytes that this user may still write where a path is. */
  freeBytes?: (path: string) => Promise<number>;
}

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

/**
 * All that the doctor knows of the computer it runs on, in one place, so that tests can make hosts up: directories that stand
 * for a root, with the files of a driver and programs that answer as AWS's do.
 */
export class Host {
  readonly root: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: string;
  readonly arch: string;
  readonly nodeVersion: string;
  readonly glibc: string | undefined;
  readonly cores: number;
  readonly #node: string;
  readonly #freeBytes: (path: string) => Promise<number>;

  constructor(options: HostOptions = {}) {
    this.root = options.root ?? "/";
    this.env = options.env ?? process.env;
    this.platform = options.platform ?? process.platform;
    this.arch = options.arch ?? process.arch;
    this.nodeVersion = options.nodeVersion ?? process.versions.node;
    this.glibc = "glibc" in options ? options.glibc : runningGlibc();
    this.cores = options.cores ?? availableParallelism();
    this.#node = options.node ?? process.execPath;
    this.#freeBytes = options.freeBytes ?? freeBytes;
  }

  /** Where a file of the system is, such as "/dev/neuron0". */
  at(path: string): string {
    return join(this.root, path);
  }

  /** A file's text; undefined where there is no such file. @throws what reading throws otherwise. */
  async read(path: string): Promise<string | undefined> {
    try {
      return await readFile(path, "utf8");
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  /** The names in a directory, sorted; none where there is no such directory. @throws what reading throws otherwise. */
  async list(path: string): Promise<string[]> {
    try {
      return (await readdir(path)).sort();
    } catch (error) {
      if (isAbsence(error)) return [];
      throw error;
    }
  }

  async exists(path: string): Promise<boolean> {
    return (await this.size(path)) !== undefined;
  }

  /** In bytes; undefined where there is nothing. */
  async size(path: string): Promise<number | undefined> {
    return stat(path).then(
      ({ size }) => size,
      () => undefined,
    );
  }

  /** Whether this user may read and write there. */
  async isWritable(path: string): Promise<boolean> {
    return access(path, constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
  }

  /** Bytes that this user may still write where the path is. @throws where that cannot be told. */
  freeBytes(path: string): Promise<number> {
    return this.#freeBytes(path);
  }

  /** Bytes that can be had without swapping, and the most that this host or its container has. */
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

  /** How many cores' worth of time a container's limit allows; undefined where there is no limit. */
  async coreQuota(): Promise<number | undefined> {
    const quota = await this.read(this.at("/sys/fs/cgroup/cpu.max"));
    const [most, period] = (quota ?? "").trim().split(" ").map(Number);
    return most !== undefined && period !== undefined && most > 0 && period > 0 ? most / period : undefined;
  }

  /** Runs a program to its end, at most `seconds` long. Never throws. */
  run(program: string, args: readonly string[], seconds: number): Promise<Ended> {
    const options = {
      env: { ...this.env } as NodeJS.ProcessEnv,
      timeout: seconds * 1000,
      killSignal: "SIGKILL" as const,
      maxBuffer: 16 << 20,
    };
    return new Promise((resolve) => {
      execFile(program, args, options, (error, stdout, stderr) => {
        const ended = { stdout, stderr, timedOut: false, signal: null };
        if (error === null) resolve({ ...ended, code: 0 });
        else if (error.killed) resolve({ ...ended, code: null, timedOut: true });
        else if (typeof error.code === "number") resolve({ ...ended, code: error.code });
        else if (error.signal) resolve({ ...ended, code: null, signal: error.signal });
        else resolve({ ...ended, code: null, error: error.message });
      });
    });
  }

  /** Runs a JavaScript file in a process of its own. */
  runNode(script: string, args: readonly string[], seconds: number): Promise<Ended> {
    return this.run(this.#node, [script, ...args], seconds);
  }
}

function isAbsence(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "");
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}
