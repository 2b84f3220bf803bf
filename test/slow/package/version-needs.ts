import { readFileSync } from "node:fs";

const VERSION_NEEDS = 0x6ffffffe;

/** The versions of other libraries' symbols that a 64-bit ELF library asks for, such as "GLIBC_2.17". */
export function versionNeeds(path: string): string[] {
  const file = readFileSync(path);
  const number = (at: number) => Number(file.readBigUInt64LE(at));
  const [sections, size, count] = [number(40), file.readUInt16LE(58), file.readUInt16LE(60)];
  const found: string[] = [];
  for (let i = 0; i < count; i++) {
    const section = sections + i * size;
    if (file.readUInt32LE(section + 4) !== VERSION_NEEDS) continue;
    const names = number(sections + file.readUInt32LE(section + 40) * size + 24);
    let need = number(section + 24);
    for (let left = file.readUInt32LE(section + 44); left > 0; left--) {
      let version = need + file.readUInt32LE(need + 8);
      for (let more = file.readUInt16LE(need + 2); more > 0; more--) {
        const name = names + file.readUInt32LE(version + 8);
        found.push(file.toString("latin1", name, file.indexOf(0, name)));
        version += file.readUInt32LE(version + 12);
      }
      need += file.readUInt32LE(need + 12);
    }
  }
  return found;
}

/** The newest version of each kind, as numbers: { GLIBC: [2, 28], … }. */
export function newestNeeds(path: string): Record<string, number[]> {
  const newest: Record<string, number[]> = {};
  for (const need of versionNeeds(path)) {
    const [, kind = "", version = ""] = /^(\w+?)_(\d+(?:\.\d+)*)$/.exec(need) ?? [];
    const numbers = version.split(".").map(Number);
    if (kind !== "" && compare(numbers, newest[kind] ?? []) > 0) newest[kind] = numbers;
  }
  return newest;
}

/** Negative where the first version is the older. */
export function compare(one: readonly number[], other: readonly number[]): number {
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    const difference = (one[i] ?? 0) - (other[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
