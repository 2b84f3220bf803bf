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
const DYNAMIC_SECTION = 6;
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

/** Whether a 64-bit ELF library ends before its table of sections, which is its last part. */
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

function readDynamic(file: Buffer): Pick<Binary, "needed" | "runpath"> {
  const number = (at: number) => Number(file.readBigUInt64LE(at));
  const [sections, size, count] = [number(40), file.readUInt16LE(58), file.readUInt16LE(60)];
  const needed: string[] = [];
  const runpath: string[] = [];
  for (let i = 0; i < count; i++) {
    const section = sections + i * size;
    if (file.readUInt32LE(section + 4) !== DYNAMIC_SECTION) continue;
    const names = number(sections + file.readUInt32LE(section + 40) * size + 24);
    const textAt = (at: number) => file.toString("utf8", names + at, file.indexOf(0, names + at));
    const [from, length] = [number(section + 24), number(section + 32)];
    for (let at = from; at + 16 <= Math.min(from + length, file.length); at += 16) {
      const tag = number(at);
      if (tag === NEEDED) needed.push(textAt(number(at + 8)));
      if (tag === RPATH || tag === RUNPATH) runpath.push(...textAt(number(at + 8)).split(":"));
    }
  }
  return { needed, runpath };
}
