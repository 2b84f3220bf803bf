/** Which process it is that a file names. */
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf } from "../errors.js";

/** Where process numbers mean the same: this boot of the host, and this container. */
export const place = createHash("sha256")
  .update(`${hostname()} ${attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))}`)
  .update(attempt(() => readlinkSync("/proc/self/ns/pid")))
  .digest("hex")
  .slice(0, 8);

/** Says whether a process of this host and container is running. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

/** Returns when a process began, by the host's own count, which tells two of one number apart; "" where the host does not say. */
export function beginOf(pid: number): string {
  // The name, which stands before in parentheses, may have spaces and parentheses of its own.
  const fields = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "")).split(" ");
  return fields[19] ?? "";
}

function attempt(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
