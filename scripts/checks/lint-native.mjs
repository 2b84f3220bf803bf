// Checks the C++: clang-format for the layout of the addon and the stand-ins (--write corrects it), clang-tidy for the addon.
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildAddon } from "../addon/build.mjs";
import { installCommand, run, runMain, SetupError, which } from "../addon/host.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * @param {string} name
 * @returns {string} the program's path
 */
function tool(name) {
  const path = which(name) ?? which(`${name}-14`);
  if (path !== undefined) return path;
  const packages = { apt: "clang-format clang-tidy", dnf: "clang-tools-extra", brew: "brew install clang-format llvm" };
  throw new SetupError(`${name} is not installed. Install it: ${installCommand(packages)}`);
}

/**
 * @param {string} directory
 * @returns {string[]} its C++ files
 */
function sourcesIn(directory) {
  return readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(c|cc|h)$/.test(name))
    .map((name) => join(root, directory, name))
    .sort();
}

await runMain(async () => {
  const write = process.argv.includes("--write");
  const files = sourcesIn("native");
  const all = [...files, ...sourcesIn(join("test", "stand-ins"))];
  const format = await run(tool("clang-format"), write ? ["-i", ...all] : ["--dry-run", "--Werror", ...all]);
  if (format !== 0) throw new SetupError("the layout is not clang-format's. `npm run format` corrects it.");
  if (write) return;

  await buildAddon(); // writes compile_commands.json
  const tidy = tool("clang-tidy");
  const queue = files.filter((name) => name.endsWith(".cc"));
  let failed = 0;
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      console.log(`clang-tidy ${file.slice(root.length + 1)}`);
      const { ok, stdout, stderr } = await tidyFile(tidy, file);
      if (ok) continue;
      failed++;
      console.error(stdout + stderr);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  if (failed > 0) throw new SetupError(`clang-tidy objects to ${failed} of the files in native/.`);
});

/**
 * @param {string} tidy
 * @param {string} file
 * @returns {Promise<{ok: boolean, stdout: string, stderr: string}>}
 */
async function tidyFile(tidy, file) {
  const { spawn } = await import("node:child_process");
  return new Promise((resolve, reject) => {
    const child = spawn(tidy, ["--quiet", "-p", join(root, "build", "cmake"), file]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ ok: code === 0, stdout, stderr }));
  });
}
