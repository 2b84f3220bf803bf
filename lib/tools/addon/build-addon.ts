import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { builtAddonsDirectory } from "../../torch/binary/built-addons.js";
import { binaryHost } from "../../torch/binary/choose-binary.js";
import { packageFile } from "../../util/package-file.js";

/**
 * Builds the native addon from source by scripts/addon/build.mjs, which the package brings along. An installed package builds into the
 * user's cache, a clone into its build directory.
 * @param args the script's.
 * @returns the script's exit code.
 */
export function buildAddon(args: readonly string[]): Promise<number> {
  const isClone = existsSync(packageFile("../package-lock.json")); // which no published package has
  const { env, own } = binaryHost();
  const into = isClone ? [] : ["--into", builtAddonsDirectory(env, own().version)];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [packageFile("../scripts/addon/build.mjs"), ...args, ...into], {
      stdio: "inherit",
    });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}
