import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** Runs the command line. */
export function cli(args: string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
}

/** The objects that a command prints with --json, one per line. */
export function jsonLines(args: string[]) {
  const { status, stdout, stderr } = cli([...args, "--json"]);
  assert.equal(status, 0, stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}
