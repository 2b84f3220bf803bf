import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";

/** What a binary is for, and what the loader will look for. */
export interface Binary {
  /** As Node names them: "linux-x64"; "unknown" parts are named as far as they are known. Undefined for what is no binary. */
  readonly platform: string | undefined;
  /** Of a 64-bit ELF library: the libraries that it names, and the directories where they are looked for first. */
  readonly needed: readonly string[];
  readonly runpath: readonly string[];
}

const MACHINES: Readonly<Record<number, string>> = { 3: "ia32", 40: "arm", 62: "x64", 183: "arm64", 243: "riscv64" };
/** Of Mach-O: its processors. */
const CPUS: Readonly<Record<number, string>> = { 16777223: "x64", 16777228: "arm64" };
const STRING_TABLE = 3;
const DYNAMIC_SECTION = 6;
const LOADED = 2n;
const NEEDED = 1;
const RPATH = 15;
const RUNPATH = 29;

/**
 * Reads what is told of a shared library by its headers, without loading it; damaged ones tell nothing.
 * @throws Error of the system's where the file cannot be read.
 */
export function readBinary(path: string): Binary {
  const file = readFileSync(path);
  const none = { needed: [], runpath: [] };
  if (file.length < 64) return { platform: undefined, ...none };
  if (file.toString("latin1", 0, 2) === "MZ") return { platform: "win32", ...none };
  if (file.readUInt32BE(0) === 0xcafebabe) return { platform: "darwin", ...none };
  if (file.readUInt32LE(0) === 0xfeedfacf) {
    return { platform: `darwin-${CPUS[file.readUInt32LE(4)] ?? "unknown"}`, ...none };
  }
  if (file.toString("latin1", 0, 4) !== "\x7fELF") return { platform: undefined, ...none };
  const littleEndian = file[5] === 1;
  const machine = littleEndian ? file.readUInt16LE(18) : file.readUInt16BE(18);
  const platform = `linux-${MACHINES[machine] ?? `machine ${machine}`}`;
  if (file[4] !== 2 || !littleEndian) return { platform, ...none };
  try {
    return { platform, ...readDynamic(file) };
  } catch {
    return { platform, ...none }; // cut short
  }
}

/** Says whether a 64-bit ELF library ends before its table of sections, which is its last part. */
export function isCut(path: string): boolean {
  const file = openSync(path, "r");
  try {
    const header = Buffer.alloc(64);
    const length = readSync(file, header, 0, 64, 0);
    if (length < 64 || header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") return false;
    const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
    return end > fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}

/**
 * Reads the names that a 64-bit ELF library has for the loader: of symbols, of versions and of libraries.
 * @throws Error where the file is no such library, or is cut short.
 */
export function readNames(path: string): string[] {
  const file = readFileSync(path);
  if (file.length < 64 || file.toString("latin1", 0, 6) !== "\x7fELF\x02\x01")
    throw new Error("it is no 64-bit ELF library");
  if (isCut(path)) throw new Error("it is cut short");
  let names = "";
  for (const { at, from, length } of sectionsOf(file, STRING_TABLE)) {
    if ((file.readBigUInt64LE(at + 8) & LOADED) === 0n) continue;
    if (from + length > file.length) throw new Error("it is cut short");
    names += file.toString("latin1", from, from + length);
  }
  return names.split("\0");
}

/** Finds the sections of a kind: where each is described, and where it lies. */
function sectionsOf(file: Buffer, kind: number): { at: number; from: number; length: number }[] {
  const [first, size, count] = [Number(file.readBigUInt64LE(40)), file.readUInt16LE(58), file.readUInt16LE(60)];
  const all = Array.from({ length: count }, (_, i) => first + i * size).filter(
    (at) => file.readUInt32LE(at + 4) === kind,
  );
  return all.map((at) => {
    return { at, from: Number(file.readBigUInt64LE(at + 24)), length: Number(file.readBigUInt64LE(at + 32)) };
  });
}

function readDynamic(file: Buffer): Pick<Binary, "needed" | "runpath"> {
  const number = (at: number) => Number(file.readBigUInt64LE(at));
  const needed: string[] = [];
  const runpath: string[] = [];
  for (const { at: section, from, length } of sectionsOf(file, DYNAMIC_SECTION)) {
    const names = number(number(40) + file.readUInt32LE(section + 40) * file.readUInt16LE(58) + 24);
    const textAt = (at: number) => file.toString("utf8", names + at, file.indexOf(0, names + at));
    for (let at = from; at + 16 <= Math.min(from + length, file.length); at += 16) {
      const tag = number(at);
      if (tag === NEEDED) needed.push(textAt(number(at + 8)));
      if (tag === RPATH || tag === RUNPATH) runpath.push(...textAt(number(at + 8)).split(":"));
    }
  }
  return { needed, runpath };
}
