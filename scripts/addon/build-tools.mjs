// The npm packages that only a build of the addon needs: cmake-js and the headers. In a clone they are devDependencies; for an
// installed package they are brought into the user's cache, so that who does not build does not install them.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory } from "./fetch-libtorch.mjs";
import { run, SetupError, which } from "./host.mjs";

/** The packages, each of which brings others. */
export const BUILD_TOOLS = ["cmake-js", "node-addon-api", "node-api-headers"];

/** Their versions and SHA-512, as package-lock.json has them: written when the package is packed. */
export const LOCK_FILE = fileURLToPath(new URL("build-tools.lock.json", import.meta.url));

const own = fileURLToPath(import.meta.url);
/** In a clone alone: npm packs none. */
const PACKAGE_LOCK = fileURLToPath(new URL("../../package-lock.json", import.meta.url));

/**
 * @typedef {object} BuildTools
 * @property {string} cmakeJs the path of cmake-js's program
 * @property {string} nodeAddonApi the directory of node-addon-api's headers
 * @property {string} version of node-addon-api
 */

/**
 * Finds the tools, or brings them into the cache.
 * @param {{log: (line: string) => void}} options
 * @returns {Promise<BuildTools>}
 * @throws {SetupError} where they are not there, and npm cannot bring them
 */
export async function findBuildTools({ log }) {
  if (existsSync(PACKAGE_LOCK)) return toolsSeenFrom(own, "Run `npm install` first.");
  const lock = readFileSync(LOCK_FILE, "utf8");
  const directory = join(
    cacheDirectory(),
    `build-tools-${createHash("sha256").update(lock).digest("hex").slice(0, 12)}`,
  );
  if (!existsSync(directory)) await fetchTools(lock, directory, log);
  return toolsSeenFrom(join(directory, "package.json"), `Remove ${directory}, and build again.`);
}

/**
 * @param {string} file
 * @param {string} cure
 * @returns {BuildTools}
 */
function toolsSeenFrom(file, cure) {
  const { resolve } = createRequire(file);
  try {
    const header = resolve("node-addon-api/package.json");
    const { version } = JSON.parse(readFileSync(header, "utf8"));
    return { cmakeJs: resolve("cmake-js/bin/cmake-js"), nodeAddonApi: dirname(header), version };
  } catch {
    throw new SetupError(
      `the npm packages that build the addon (${BUILD_TOOLS.join(", ")}) are not installed. ${cure}`,
    );
  }
}

/**
 * @param {string} lock
 * @param {string} directory
 * @param {(line: string) => void} log
 */
async function fetchTools(lock, directory, log) {
  const npm = npmProgram();
  const { packages } = JSON.parse(lock);
  log(`fetching cmake-js and what it needs (${Object.keys(packages).length - 1} npm packages) into ${directory}`);
  mkdirSync(cacheDirectory(), { recursive: true });
  const temporary = mkdtempSync(join(cacheDirectory(), "fetch-"));
  try {
    writeFileSync(join(temporary, "package.json"), JSON.stringify(packages[""]));
    writeFileSync(join(temporary, "package-lock.json"), lock);
    const [program = "", ...first] = npm;
    const args = [...first, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    if ((await run(program, args, { cwd: temporary, env: toolEnvironment() })) !== 0) {
      throw new SetupError(
        "npm could not fetch the packages that build the addon (its own words are above). They come from the registry that npm is " +
          "set up for here, and each must have the SHA-512 that neuron-blip knows.",
      );
    }
    try {
      renameSync(temporary, directory);
    } catch (error) {
      if (!existsSync(directory)) throw error; // another process was quicker: its result is as good
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** @returns {string[]} the program, and its first arguments */
function npmProgram() {
  const running = process.env.npm_execpath;
  const beside = join(dirname(dirname(process.execPath)), "lib", "node_modules", "npm", "bin", "npm-cli.js");
  for (const script of [running?.endsWith("npm-cli.js") ? running : undefined, beside]) {
    if (script !== undefined && existsSync(script)) return [process.execPath, script];
  }
  const npm = which("npm");
  if (npm !== undefined) return [npm];
  throw new SetupError(
    "cmake-js, which builds the addon, is fetched with npm, and npm is not on this host. Install it with Node.",
  );
}

/**
 * @returns {NodeJS.ProcessEnv} for the tools and npm: without what a package manager says to its scripts of the project it works on, and
 * without the loader of Plug'n'Play, which knows nothing of the cache
 */
export function toolEnvironment() {
  const ofScripts =
    /^(npm_(package|lifecycle|command|config_(local_prefix|prefix|workspace))|INIT_CWD$|NODE_OPTIONS$|NODE_PATH$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !ofScripts.test(name)));
}
