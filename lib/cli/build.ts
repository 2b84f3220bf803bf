import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { builtAddonsDirectory } from "../torch/binary/built-addons.js";
import { binaryHost } from "../torch/binary/choose-binary.js";
import { packageFile } from "../util/package-file.js";
import { parse, UsageError } from "./usage.js";

/**
 * `neuron-blip build`: builds the native addon from source, for hosts that have another torch, or that no binaries are published for.
 * The work is done by scripts/build.mjs, which the package brings along. An installed package builds into the user's cache, a
 * clone into its build directory.
 * @param args the command's arguments, passed on; `--help` lists them
 * @returns the exit code: 0 built or up to date, 1 could not build, 2 wrong arguments
 */
export function run(args: string[]): Promise<number> {
  const { positionals } = parse(args, {
    force: "boolean",
    debug: "boolean",
    sanitize: "boolean",
    jobs: "string",
    libtorch: "string",
  });
  if (positionals.length > 0) {
    throw new UsageError(`build takes no "${positionals[0]?.slice(0, 100)}". \`--help\` lists its options.`);
  }
  const isClone = existsSync(packageFile("../package-lock.json")); // which no published package has
  const { env, own } = binaryHost();
  const into = isClone ? [] : ["--into", builtAddonsDirectory(env, own().version)];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [packageFile("../scripts/build.mjs"), ...args, ...into], {
      stdio: "inherit",
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}
