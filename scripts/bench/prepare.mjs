// What the benchmark needs, made once and kept in the cache: a Python with the peers, onnxruntime-node, the model as a checkpoint, as
// the tutorial's parts and as ONNX, and pictures.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory } from "../addon/fetch-libtorch.mjs";
import { capture, run, SetupError } from "../addon/host.mjs";
import { pythonEnvironment } from "../parity/python-environment.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));

/** How many pictures there are: more than are ever in flight at once, so that none is asked about twice in a row. */
export const PICTURES = { small: 48, large: 8 };

/**
 * @typedef {object} Prepared
 * @property {string} python
 * @property {string | undefined} onnxruntimeNode where that package is installed; undefined where it has no binary for this host
 * @property {string} source the checkpoint, as `save_pretrained` writes it
 * @property {string} tutorial a compiled directory with the tutorial's three parts
 * @property {string} onnx the same three parts as ONNX
 * @property {string} onnxInt8 those, quantised by ONNX Runtime's tools
 * @property {string} pictures
 */

/** The peers' packages, each as pip takes it. */
const PACKAGES = readFileSync(join(here, "requirements.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

/** @returns {Promise<string>} a Python with the peers */
async function peers() {
  return process.env.NEURON_BLIP_BENCH_PYTHON || pythonEnvironment("bench", PACKAGES, "1.7 GB", { distinct: true });
}

/**
 * Makes a directory whole, or not at all.
 * @param {string} directory @param {(unfinished: string) => Promise<void>} fill
 */
async function once(directory, fill) {
  if (existsSync(directory)) return directory;
  console.log(`neuron-blip: making ${directory}`);
  const unfinished = `${directory}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  await fill(unfinished);
  renameSync(unfinished, directory);
  return directory;
}

/** onnxruntime-node of the same version as Python's ONNX Runtime. */
async function onnxruntimeNode() {
  const [, version] = PACKAGES.map((line) => line.split("==")).find(([name]) => name === "onnxruntime") ?? [];
  const wanted = `onnxruntime-node@${version}`;
  const directory = await once(join(cacheDirectory(), `bench-${wanted.replace("@", "-")}`), async (out) => {
    writeFileSync(join(out, "package.json"), JSON.stringify({ private: true }));
    // Its install script fetches what only GPUs need; the CPU's binaries are in the package.
    const args = ["install", "--prefix", out, "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", wanted];
    const npm = process.env.npm_execpath;
    const [program, ...first] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
    const stdio = /** @type {import("node:child_process").StdioOptions} */ (["ignore", "ignore", "inherit"]);
    if ((await run(/** @type {string} */ (program), [...first, ...args], { cwd: out, stdio })) !== 0) {
      throw new SetupError(`npm could not install ${wanted}; its own words are above.`);
    }
  });
  const { ok, stderr } = capture(process.execPath, ["-e", 'require("onnxruntime-node")'], { cwd: directory });
  if (ok) return directory;
  const why = stderr.split("\n").find((line) => line.includes("Error")) ?? "it does not load";
  console.log(
    `neuron-blip: ${wanted} is left out, for it has no binary that this host (${process.platform}-${process.arch}) loads: ${why}`,
  );
  return undefined;
}

/**
 * Makes what is missing. Compiling looks for itself whether its parts are up to date.
 * @param {{tiny: boolean}} options tiny: a model and pictures for a trial run
 * @returns {Promise<Prepared>}
 */
export async function prepare({ tiny }) {
  const python = await peers();
  const onnxruntime = await onnxruntimeNode();
  const home = join(cacheDirectory(), tiny ? "bench-tiny" : "bench-full");
  const flags = tiny ? ["--tiny"] : [];
  /** @param {string} program @param {string[]} args */
  const step = async (program, ...args) => {
    const stdio = /** @type {import("node:child_process").StdioOptions} */ (["ignore", "ignore", "inherit"]);
    const env = { ...process.env, NEURON_BLIP_PYTHON: python, TRANSFORMERS_VERBOSITY: "error" };
    if ((await run(program, args, { stdio, env })) !== 0) {
      throw new SetupError(`${args[0]} failed; its own words are above.`);
    }
  };
  const script = (/** @type {string} */ name) => join(here, name);
  const source = await once(join(home, "model"), (out) =>
    step(python, script("make_model.py"), out, join(root, "demo", "model"), ...flags),
  );
  const pictures = await once(join(home, "pictures"), (out) =>
    step(python, script("make_pictures.py"), out, String(PICTURES.small), String(PICTURES.large), ...flags),
  );
  const tutorial = join(home, "tutorial");
  console.log(`neuron-blip: compiling ${tutorial}, or what is out of date of it`);
  const command = [join(root, "dist", "cli", "main.js"), "compile", source, tutorial, "--target", "cpu"];
  const lengths = ["--question-length", "8", "--answer-length", "20"];
  await step(process.execPath, ...command, ...lengths);
  const onnx = await once(join(home, "onnx"), (out) => step(python, script("export_onnx.py"), source, tutorial, out));
  const onnxInt8 = await once(join(home, "onnx-int8"), (out) => step(python, script("quantize_onnx.py"), onnx, out));
  return { python, onnxruntimeNode: onnxruntime, source, tutorial, onnx, onnxInt8, pictures };
}
