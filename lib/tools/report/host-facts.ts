import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem, type } from "node:os";

export interface HostFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memory: number;
  readonly kernel: string;
  readonly system: string;
  readonly architecture: string;
  /** Of the Neuron kernel driver; undefined where it is not loaded. */
  readonly neuronDriver?: string;
}

/** What this host is. It has no names of persons or machines in it: the report is made to be sent. */
export function hostFacts(): HostFacts {
  const driver = readLine("/sys/module/neuron/version");
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memory: totalmem(),
    kernel: `${type()} ${release()}`,
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(readText("/etc/os-release") ?? "")?.[1] ?? type(),
    architecture: process.arch,
    ...(driver !== undefined && { neuronDriver: driver }),
  };
}

function readLine(path: string): string | undefined {
  return readText(path)?.split("\n")[0]?.trim();
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // such as on macOS
  }
}
