// Writes scripts/addon/build-tools.lock.json into what is packed: of package-lock.json, the packages that build the addon and those that they
// need, with their versions and SHA-512.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUILD_TOOLS, LOCK_FILE } from "../addon/build-tools.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** @typedef {{version: string, integrity?: string, dev?: boolean, dependencies?: Record<string, string>}} Locked */

/**
 * @returns {object} a lock file of the tools alone
 */
function toolsLock() {
  /** @type {{packages: Record<string, Locked>}} */
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  /** @type {Map<string, Locked>} */
  const wanted = new Map();
  /** @param {string} from @param {string} name */
  const add = (from, name) => {
    const path = placesOf(from, name).find((place) => packages[place] !== undefined);
    const found = path === undefined ? undefined : packages[path];
    if (path === undefined || found?.integrity === undefined)
      throw new Error(`package-lock.json has no SHA-512 of ${name}`);
    if (wanted.has(path)) return;
    const { dev: _, ...kept } = found;
    wanted.set(path, kept);
    for (const dependency of Object.keys(found.dependencies ?? {})) add(path, dependency);
  };
  for (const name of BUILD_TOOLS) add("", name);
  const name = "neuron-blip-build-tools";
  const dependencies = Object.fromEntries(
    BUILD_TOOLS.map((tool) => [tool, wanted.get(`node_modules/${tool}`)?.version ?? ""]),
  );
  const sorted = Object.fromEntries([...wanted].sort(([one], [other]) => (one < other ? -1 : 1)));
  return {
    name,
    lockfileVersion: 3,
    requires: true,
    packages: { "": { name, private: true, dependencies }, ...sorted },
  };
}

/**
 * @param {string} from a package's place
 * @param {string} name of one that it needs
 * @returns {string[]} where Node looks for it, in order
 */
function placesOf(from, name) {
  const places = [];
  for (let directory = from; ; directory = directory.slice(0, Math.max(0, directory.lastIndexOf("node_modules") - 1))) {
    places.push(`${directory === "" ? "" : `${directory}/`}node_modules/${name}`);
    if (directory === "") return places;
  }
}

writeFileSync(LOCK_FILE, `${JSON.stringify(toolsLock(), null, 2)}\n`);
