import { readFileSync } from "node:fs";

/** A part of this process's memory, in bytes. */
export interface Mapping {
  size: number;
  /** What of it is in memory. */
  rss: number;
  /** What of that another process has, too. */
  shared: number;
  /** What this process has written. */
  own: number;
}

/** The parts of this process's memory whose file has a path that ends so; all for "". Linux tells. */
export function mappingsOf(path: string): Mapping[] {
  const mappings: Mapping[] = [];
  let isWanted = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) {
      isWanted = line.endsWith(path);
      if (isWanted) mappings.push({ size: 0, rss: 0, shared: 0, own: 0 });
      continue;
    }
    const [, name, kilobytes] = /^(\w+): +(\d+) kB$/.exec(line) ?? [];
    const mapping = mappings.at(-1);
    if (!isWanted || mapping === undefined) continue;
    const bytes = Number(kilobytes) * 1024;
    if (name === "Size") mapping.size = bytes;
    if (name === "Rss") mapping.rss = bytes;
    // Dirty where the file was only just written.
    if (name === "Shared_Clean" || name === "Shared_Dirty") mapping.shared += bytes;
    if (name === "Anonymous") mapping.own = bytes;
  }
  return mappings;
}
