// A Python environment of this project's own, kept in the cache: made once, for the scripts that compare with other software.
import { createHash } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, PINNED_VERSION, PYTORCH_CPU_INDEX, REQUIREMENT } from "../addon/fetch-libtorch.mjs";
import { pythons, run, SetupError } from "../addon/host.mjs";

/**
 * An environment with torch, as the addon's libtorch, and other packages.
 * @param {string} name of the environment, such as "transformers-5.18.0"
 * @param {string[]} packages as pip takes them; torch is there anyway
 * @param {string} size about how much it is, for the person who waits
 * @param {{distinct?: boolean}} [options] distinct: environments of other packages with the same name are others
 * @returns {Promise<string>} its Python
 */
export async function pythonEnvironment(name, packages, size, { distinct = false } = {}) {
  const all = [REQUIREMENT, ...packages];
  // The CPU build as pip is set up here (without retries: where a network does not answer, each costs seconds), then from
  // PyTorch's own index; last, whatever build of that version there is.
  const attempts = [
    ["--retries", "0", ...all],
    ["--extra-index-url", PYTORCH_CPU_INDEX, ...all],
    [`torch==${PINNED_VERSION}`, ...packages],
  ];
  return install(distinct ? distinctName(name, all) : name, all, { size, attempts });
}

/**
 * An environment with packages alone. Of other packages it is another.
 * @param {string} name @param {string[]} packages as pip takes them @param {string} size about how much it is
 * @returns {Promise<string>} its Python
 */
export async function packagesEnvironment(name, packages, size) {
  return install(distinctName(name, packages), packages, {
    size,
    attempts: [["--retries", "0", ...packages], packages],
  });
}

/** @param {string} name @param {string[]} packages */
function distinctName(name, packages) {
  return `${name}-${createHash("sha256").update(packages.join("\n")).digest("hex").slice(0, 8)}`;
}

/**
 * Makes an environment, where it is not there yet.
 * @param {string} name @param {string[]} packages
 * @param {{size: string, attempts: string[][]}} how attempts: what pip is told, one after the other until one succeeds
 */
async function install(name, packages, { size, attempts }) {
  const environment = join(cacheDirectory(), `venv-${name}`);
  const python = join(environment, "bin", "python");
  const done = join(environment, "complete");
  if (existsSync(done)) return python;
  console.log(`neuron-blip: installing ${packages.join(", ")} into ${environment} (about ${size})`);
  rmSync(environment, { recursive: true, force: true });
  const [base] = pythons();
  if (base === undefined || (await run(base, ["-m", "venv", environment])) !== 0) {
    throw new SetupError("this needs Python 3.10 or later with venv: apt-get install python3-venv");
  }
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--prefer-binary"];
  for (const attempt of attempts) {
    if ((await run(python, [...pip, ...attempt])) === 0) {
      writeFileSync(done, "");
      return python;
    }
  }
  throw new SetupError(`pip could not install ${packages.join(", ")}; its own words are above.`);
}
