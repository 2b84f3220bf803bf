import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parse, UsageError } from "./usage.js";

/**
 * `neuron-blip build`: builds the native addon, for installations whose package manager did not run the install script.
 * The work is done by scripts/build.mjs, which the package brings along.
 * @param args the command's arguments, passed on; `--help` lists them
 * @returns the exit code: 0 built or up to date, 1 could not build, 2 wrong arguments
 */
export function run(args: string[]): Promise<number> {
  const { positionals } = parse(args, { force: "boolean", debug: "boolean", sanitize: "boolean", jobs: "string" });
  if (positionals.length > 0) {
    throw new UsageError(`build takes no "${positionals[0]?.slice(0, 100)}". \`--help\` lists its options.`);
  }
  const script = fileURLToPath(new URL("../../scripts/build.mjs", import.meta.url));
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: "inherit" });
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  });
}
