// What the benchmark needs, made once and kept in the cache: a Python with the peers, the model as Hugging Face, as our compiled
// directories and as ONNX, and pictures.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheDirectory } from "../fetch-libtorch.mjs";
import { run, SetupError } from "../host.mjs";
import { pythonEnvironment } from "../python-environment.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));

/** How many pictures there are: more than are ever in flight at once, so that none is asked about twice in a row. */
export const PICTURES = { small: 48, large: 8 };

/**
 * @typedef {object} Prepared
 * @property {string} python
 * @property {string} source the model as `save_pretrained` writes it
 * @property {string} tutorial a compiled directory with the tutorial's three parts alone
 * @property {string} fp32 with the faster parts
 * @property {string} bf16 the same in bfloat16
 * @property {string} int8 the text parts in int8, the rest in bfloat16
 * @property {string} onnx
 * @property {string} pictures
 */

/** @returns {Promise<string>} a Python with the peers */
async function peers() {
  if (process.env.NEURON_BLIP_BENCH_PYTHON) return process.env.NEURON_BLIP_BENCH_PYTHON;
  const lines = readFileSync(join(here, "requirements.txt"), "utf8").split("\n");
  const packages = lines.filter((line) => line !== "" && !line.startsWith("#"));
  return pythonEnvironment("bench", packages, "1.7 GB", { distinct: true });
}

/**
 * Makes what is missing. Compiling looks for itself whether its parts are up to date.
 * @param {{tiny: boolean}} options tiny: a model and pictures for a trial run
 * @returns {Promise<Prepared>}
 */
export async function prepare({ tiny }) {
  const python = await peers();
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
  /**
   * Makes a directory whole, or not at all.
   * @param {string} name @param {(directory: string) => Promise<void>} fill
   */
  const once = async (name, fill) => {
    const directory = join(home, name);
    if (existsSync(directory)) return directory;
    console.log(`neuron-blip: making ${directory}`);
    const unfinished = `${directory}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    await fill(unfinished);
    renameSync(unfinished, directory);
    return directory;
  };
  const script = (/** @type {string} */ name) => join(here, name);
  const source = await once("model", (out) =>
    step(python, script("make_model.py"), out, join(root, "demo", "model"), ...flags),
  );
  const pictures = await once("pictures", (out) =>
    step(python, script("make_pictures.py"), out, String(PICTURES.small), String(PICTURES.large), ...flags),
  );
  /** @param {string} name @param {string[]} options */
  const compile = async (name, ...options) => {
    const directory = join(home, name);
    console.log(`neuron-blip: compiling ${directory}, or what is out of date of it`);
    const lengths = ["--question-length", "8", "--answer-length", "20"];
    const command = join(root, "dist", "cli", "main.js");
    await step(process.execPath, command, "compile", source, directory, "--target", "cpu", ...lengths, ...options);
    return directory;
  };
  const tutorial = await compile("tutorial", "--tutorial-parts-only");
  /** The tutorial's parts are the same in all: they need not be made again. @param {string} name */
  const startFromTutorial = (name) => {
    const directory = join(home, name);
    if (existsSync(directory)) return;
    mkdirSync(directory);
    for (const file of readdirSync(tutorial)) {
      if (file !== "logs" && !file.startsWith(".")) cpSync(join(tutorial, file), join(directory, file));
    }
  };
  /** @param {string} dtype */
  const compileDtype = (dtype) => {
    startFromTutorial(dtype);
    return compile(dtype, "--dtype", dtype);
  };
  const fp32 = await compileDtype("fp32");
  const bf16 = await compileDtype("bf16");
  const int8 = await compileDtype("int8");
  const onnx = await once("onnx", (out) => step(python, script("export_onnx.py"), source, tutorial, out));
  return { python, source, tutorial, fp32, bf16, int8, onnx, pictures };
}
