import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { NeuronBlipError } from "../errors.js";

/**
 * `neuron-blip compile`: runs scripts/trace.py, which has the options and their `--help`, with the Python that
 * `NEURON_BLIP_PYTHON` names, by default `python3`. Returns its exit code, 128 and the signal's number where a signal ended it.
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
    // Ctrl-C reaches both from the terminal; Python's own answer to it is waited for. The other is sent to this process alone.
    const waitForPython = () => {};
    const passOn = () => child.kill("SIGTERM");
    process.on("SIGINT", waitForPython).on("SIGTERM", passOn);
    child.on("close", (code, signal) => {
      process.off("SIGINT", waitForPython).off("SIGTERM", passOn);
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
}
