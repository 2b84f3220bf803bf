import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A libtorch on the disk, as its files tell. */
export interface TorchDirectory {
  /** Of the torch package, or of a libtorch archive. */
  readonly directory: string;
  /** Such as "2.13.0+cpu". */
  readonly version: string;
  /** Has libtorch_cpu and libc10. */
  readonly libDir: string;
}

const MULTIARCH: Readonly<Record<string, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/** Reads a torch package's directory, a libtorch archive's or a prefix such as /usr; undefined where no libtorch is in it. */
export function readTorchDirectory(directory: string): TorchDirectory | undefined {
  const libDir = ["lib", join("lib", MULTIARCH[process.arch] ?? ""), "lib64"]
    .map((name) => join(directory, name))
    .find((path) => [libraryName("torch_cpu"), libraryName("c10")].every((name) => existsSync(join(path, name))));
  const version = libDir && torchVersion(directory);
  return libDir === undefined || version === undefined ? undefined : { directory, version, libDir };
}

/** Finds the libtorch that a directory may mean: its own, a torch package's in it, or that of the Python environment that it is. */
export function findTorchIn(directory: string): TorchDirectory | undefined {
  for (const place of [directory, join(directory, "torch"), join(directory, "usr"), ...torchesOfPython(directory)]) {
    const found = readTorchDirectory(place);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Lists where a Python environment has its torch, whether or not it has one. */
export function torchesOfPython(environment: string): string[] {
  const lib = join(environment, "lib");
  return list(lib)
    .filter((name) => name.startsWith("python3"))
    .map((name) => join(lib, name, "site-packages", "torch"));
}

/** Makes "libtorch_cpu.so" of "torch_cpu". */
export function libraryName(name: string): string {
  return `lib${name}.${process.platform === "darwin" ? "dylib" : "so"}`;
}

/** Makes "2.9" of "2.9.1+cu128". */
export function minorOf(version: string): string {
  return /^\d+\.\d+/.exec(version)?.[0] ?? version;
}

/**
 * Reads the C++ ABI of a libtorch, from the name that c10's error function has in it, as the value of _GLIBCXX_USE_CXX11_ABI. torch
 * for Python had the older one up to 2.6.
 */
export function cxx11AbiOf({ libDir }: TorchDirectory): 0 | 1 {
  return readFileSync(join(libDir, libraryName("c10"))).includes("torchCheckFailEPKcS2_jRKSs", 0, "latin1") ? 0 : 1;
}

/** Reads the version of a torch package, by its version.py; undefined where there is none. */
export function packageVersion(directory: string): string | undefined {
  return /^__version__(?:\s*:\s*\w+)?\s*=\s*['"]([^'"]+)/m.exec(read(join(directory, "version.py")))?.[1];
}

function torchVersion(directory: string): string | undefined {
  const python = packageVersion(directory);
  if (python !== undefined) return python;
  const archive = /^\d+\.\d+\S*/.exec(read(join(directory, "build-version")));
  if (archive !== null) return archive[0];
  for (const header of ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"]) {
    const text = read(join(directory, "include", header));
    const parts = ["MAJOR", "MINOR", "PATCH"].map(
      (part) => new RegExp(`TORCH_VERSION_${part}\\s+(\\d+)`).exec(text)?.[1],
    );
    if (parts.every((part) => part !== undefined)) return parts.join(".");
  }
  return undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not there, or not for this user
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // not there, or not for this user
  }
}
