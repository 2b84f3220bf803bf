// Packs the packages, publishes them to a registry on this host, and installs and uses them there: test/slow/package.
// Arguments: --all, to try each package manager with each Node that it supports; others are mocha's.
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { run, runMain } from "../addon/host.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

await runMain(async () => {
  const given = process.argv.slice(2);
  const all = given.includes("--all");
  const mocha = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
  const files = ["test/slow/package/*.test.ts"];
  const args = ["--no-config", "--node-option", "import=tsx", ...files, ...given.filter((arg) => arg !== "--all")];
  const env = { ...process.env, ...(all && { NEURON_BLIP_TEST_ALL: "1" }) };
  return run(process.execPath, [mocha, ...args], { cwd: root, env });
});
