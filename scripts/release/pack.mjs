// Makes the tarballs that are published, in release/: neuron-blip itself, its server, the platform's addons, and the platform's libtorch.
// The same sources give the same bytes. For Linux on x64, with a C++20 compiler, CMake and binutils.
// Arguments: --libtorch DIR, as often as wanted, for an addon for another minor version of torch.
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildAddon } from "../addon/build.mjs";
import { toolEnvironment } from "../addon/build-tools.mjs";
import { cachedLibtorch, fetchLibtorch } from "../addon/fetch-libtorch.mjs";
import { capture, run, runMain, SetupError } from "../addon/host.mjs";
import { findLibtorch } from "../addon/libtorch.mjs";
import { checkPinnedLibraries, PINNED_LIBRARIES, sha256Of } from "./pinned-libtorch.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const release = join(root, "release");
const work = join(root, "build-release");
/**
 * What npm may install the packages on. A package of the clone says none of it, since npm would refuse to install the clone elsewhere, and is
 * private, since it is empty.
 */
const PLATFORM = { private: undefined, os: ["linux"], cpu: ["x64"], libc: ["glibc"] };

/** @param {string} line */
function say(line) {
  console.log(`neuron-blip: ${line}`);
}

/**
 * Makes an empty directory for what goes into a package, with its package.json.
 * @param {string} name of the directory in packages/
 * @param {object} changes to its package.json
 * @returns {{stage: string, version: string}}
 */
function stagePackage(name, changes) {
  const source = join(root, "packages", name);
  const stage = join(work, "stage", name);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  const json = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  writeFileSync(join(stage, "package.json"), `${JSON.stringify({ ...json, ...changes }, null, 2)}\n`);
  cpSync(join(source, "README.md"), join(stage, "README.md"));
  return { stage, version: json.version };
}

/**
 * Stages the platform's libtorch: PyTorch's libraries without what only debuggers use, and all their licences.
 * @param {string} directory of the pinned libtorch
 */
async function stageLibtorch(directory) {
  const { version, libDir } = await findLibtorch({ named: join(directory, "torch") });
  const { stage, version: published } = stagePackage("libtorch-linux-x64", PLATFORM);
  if (version.split("+")[0] !== published) {
    throw new SetupError(`libtorch is ${version}, and packages/libtorch-linux-x64/package.json says ${published}.`);
  }
  say("checking the SHA-256 of libtorch's libraries");
  await checkPinnedLibraries(libDir);
  mkdirSync(join(stage, "lib"));
  for (const name of Object.keys(PINNED_LIBRARIES)) {
    const target = join(stage, "lib", name);
    const { ok, stderr } = capture("strip", ["--strip-unneeded", "-o", target, join(libDir, name)]);
    if (!ok) throw new SetupError(`${name} cannot be stripped: ${stderr.trim() || "install binutils"}`);
  }
  const info = readdirSync(directory).find((name) => name.endsWith(".dist-info"));
  const licences = join(directory, info ?? "", "licenses");
  if (info === undefined || !existsSync(join(licences, "LICENSE"))) {
    throw new SetupError(`${directory} has no licences of libtorch's. Remove it, and run this again to fetch it anew.`);
  }
  cpSync(licences, join(stage, "licenses"), { recursive: true });
  cpSync(join(licences, "LICENSE"), join(stage, "LICENSE"));
  cpSync(join(root, "packages/libtorch-linux-x64/libgomp-LICENSE.txt"), join(stage, "licenses/libgomp-LICENSE.txt"));
  return stage;
}

/**
 * Stages the loader and an addon for each libtorch.
 * @param {string[]} libtorches their directories, no two of one minor version
 */
async function stageAddons(libtorches) {
  const { stage } = stagePackage("linux-x64", PLATFORM);
  cpSync(join(root, "LICENSE"), join(stage, "LICENSE"));
  for (const directory of libtorches) {
    const { version, cxx11Abi } = await findLibtorch({ named: directory });
    const name = `torch-${version.split(".").slice(0, 2).join(".")}`;
    if (existsSync(join(stage, name))) throw new SetupError(`${directory} is a second libtorch for ${name}.`);
    const addon = await buildAddon({ directory: join("build-release", name), libtorch: directory, publish: true });
    mkdirSync(join(stage, name));
    cpSync(addon, join(stage, name, "neuron_blip.node"));
    cpSync(join(dirname(addon), "loader.node"), join(stage, "loader.node"));
    writeFileSync(
      join(stage, name, "neuron_blip.json"),
      `${JSON.stringify({ libtorch: version, cxx11Abi }, null, 2)}\n`,
    );
  }
  return stage;
}

/** Stages the server, for any platform. In the clone the library is an optional peer, since npm would look for it in the registry. */
function stageServer() {
  const { peerDependenciesMeta } = JSON.parse(readFileSync(join(root, "packages/server/package.json"), "utf8"));
  const { "neuron-blip": _, ...others } = peerDependenciesMeta;
  const { stage } = stagePackage("server", { peerDependenciesMeta: others });
  cpSync(join(root, "LICENSE"), join(stage, "LICENSE"));
  for (const name of ["dist", "lib", "page"])
    cpSync(join(root, "packages/server", name), join(stage, name), { recursive: true });
  return stage;
}

/**
 * Packs a directory into release/.
 * @param {string} directory
 */
async function pack(directory) {
  say(`packing ${relative(root, directory) || "neuron-blip"}`);
  const args = ["pack", "--pack-destination", release, "--loglevel=error"];
  const npm = process.env.npm_execpath;
  const [program, ...first] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
  const options = { cwd: directory, env: toolEnvironment() };
  if ((await run(program ?? "npm", [...first, ...args], options)) !== 0)
    throw new SetupError(`${directory} cannot be packed.`);
}

/**
 * Gives files the same modes whatever this user's mask is.
 * @param {string} directory
 */
function setModes(directory) {
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const path = join(directory, name);
    chmodSync(path, statSync(path).isDirectory() ? 0o755 : 0o644);
  }
}

await runMain(async () => {
  const { values } = parseArgs({ options: { libtorch: { type: "string", multiple: true, default: [] } } });
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new SetupError("the binaries that are published are for Linux on x64, and made there.");
  }
  const pinned = cachedLibtorch() ?? (await fetchLibtorch({ log: say }));
  rmSync(release, { recursive: true, force: true });
  mkdirSync(release, { recursive: true });
  const addons = await stageAddons([join(pinned, "torch"), ...(values.libtorch ?? [])]);
  const stages = [addons, await stageLibtorch(pinned), stageServer()];
  for (const stage of stages) {
    setModes(stage);
    await pack(stage);
    rmSync(stage, { recursive: true });
  }
  await pack(root);
  for (const name of readdirSync(release).sort()) {
    const path = join(release, name);
    console.log(`${await sha256Of(path)}  ${(statSync(path).size / 1e6).toFixed(1).padStart(6)} MB  ${name}`);
  }
});
