import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { NeuronBlipError } from "../errors.js";

/**
 * `neuron-blip compile`: runs scripts/trace.py, which has the options and their `--help`, with the Python that
 * `NEURON_BLIP_PYTHON` names, by default `python3`.
 */
export function run(args: string[]): Promise<number> {
  const script = fileURLToPath(new URL("../../scripts/trace.py", import.meta.url));
  const python = process.env.NEURON_BLIP_PYTHON ?? "python3";
  return new Promise((resolve, reject) => {
    // The name that its help and its complaints begin with.
    const env = { ...process.env, NEURON_BLIP_PROG: "neuron-blip compile" };
    const child = spawn(python, [script, ...args], { stdio: "inherit", env });
    child.on("error", (cause) => {
      reject(
        new NeuronBlipError(
          "COMPILE_FAILED",
          `Compiling needs Python, and "${python}" does not run (${cause.message}). Install Python 3.10 or later, or name yours ` +
            "in NEURON_BLIP_PYTHON.",
          { cause },
        ),
      );
    });
    child.on("close", (code) => resolve(code ?? 1));
  });
}
