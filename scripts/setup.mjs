// Makes a fresh clone ready: npm packages, the native addon with its libtorch, and the TypeScript. Each step is skipped where
// its result is up to date, so that every npm script can begin with this one.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run, runMain, SetupError } from "./addon/host.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** @param {string} line */
function say(line) {
  console.log(`neuron-blip: ${line}`);
}

/** Stops where Node is older than package.json asks for. */
function checkNode() {
  const wanted = /\d+\.\d+/.exec(JSON.parse(read("package.json")).engines.node)?.[0] ?? "0.0";
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number);
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  throw new SetupError(
    `this is Node ${process.versions.node}, and neuron-blip needs ${wanted} or newer. Install it, from nodejs.org or with a ` +
      "version manager, and run this again.",
  );
}

/** @param {string} path relative to the project */
function read(path) {
  return readFileSync(join(root, path), "utf8");
}

/** @returns {boolean} whether node_modules holds what package-lock.json says */
function packagesAreCurrent() {
  const hidden = "node_modules/.package-lock.json"; // npm writes it last
  if (!existsSync(join(root, hidden))) return false;
  /** @typedef {Record<string, {version?: string, optional?: boolean}>} Packages */
  /** @type {Packages} */
  const wanted = JSON.parse(read("package-lock.json")).packages;
  /** @type {Packages} */
  const installed = JSON.parse(read(hidden)).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === "" || installed[path]?.version === version || (optional === true && installed[path] === undefined),
  );
}

async function installPackages() {
  if (packagesAreCurrent()) return;
  say("installing npm packages (about half a minute)");
  // The install scripts are left out: the one that matters is the addon's, which is the next step, with its progress shown.
  const args = ["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
  const npm = process.env.npm_execpath;
  const code = npm?.endsWith(".js")
    ? await run(process.execPath, [npm, ...args], { cwd: root })
    : await run("npm", args, { cwd: root });
  if (code !== 0) throw new SetupError("npm could not install the packages (its own words are above).");
}

/** @returns {string[]} the files below a directory, relative to it */
function filesBelow(/** @type {string} */ directory) {
  if (!existsSync(join(root, directory))) return [];
  return readdirSync(join(root, directory), { recursive: true, encoding: "utf8" }).sort();
}

/** Lets the server's package, which is in a directory of this one, import it by its name. */
function linkLibrary() {
  const modules = join(root, "packages/server/node_modules");
  if (existsSync(join(modules, "neuron-blip"))) return;
  mkdirSync(modules, { recursive: true });
  symlinkSync("../../..", join(modules, "neuron-blip"), "dir");
}

/**
 * Compiles a package's lib to its dist.
 * @param {string} directory of the package, relative to the project
 * @param {string} what for who reads along
 * @param {string} [before] the stamp of what it is compiled against
 * @returns {Promise<string>} the stamp
 */
async function compileTypeScript(directory, what, before = "") {
  const hash = createHash("sha256").update(before);
  const own = directory === "." ? [] : [join(directory, "tsconfig.json"), join(directory, "package.json")];
  for (const name of ["tsconfig.json", "package.json", "package-lock.json", ...own]) hash.update(read(name));
  const lib = join(directory, "lib");
  const dist = join(directory, "dist");
  const sources = filesBelow(lib).filter((name) => name.endsWith(".ts"));
  for (const name of sources) hash.update(`${name}\0`).update(read(join(lib, name)));
  const stampFile = join(root, dist, ".stamp");
  const stamp = hash.digest("hex");
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return stamp;
  say(`compiling ${what}`);
  // What a removed or renamed source left behind would still be found by an import.
  const wanted = new Set(sources.map((name) => name.replace(/\.ts$/, "")));
  for (const name of filesBelow(dist)) {
    const stem = name.replace(/\.(d\.ts|js)(\.map)?$/, "");
    if (stem !== name && !wanted.has(stem)) rmSync(join(root, dist, name));
  }
  rmSync(stampFile, { force: true });
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  if ((await run(process.execPath, [tsc, "--project", join(root, directory)])) !== 0) {
    // Incremental: what it wrote in spite of errors must not count as done.
    rmSync(join(root, dist, ".tsbuildinfo"), { force: true });
    throw new SetupError("TypeScript did not compile (its errors are above).");
  }
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
  return stamp;
}

await runMain(async () => {
  checkNode();
  await installPackages();
  if (!process.argv.includes("--no-addon")) {
    // Imported late: it needs the packages.
    const { buildAddon } = await import("./addon/build.mjs");
    await buildAddon();
  }
  linkLibrary();
  const library = await compileTypeScript(".", "TypeScript");
  await compileTypeScript("packages/server", "the server", library);
});
