import { spawn } from "node:child_process";
import { constants } from "node:os";
import { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { codeOf, NeuronBlipError } from "../errors.js";
import { serveModels } from "./compile-hub.js";
import { memoryAdvice } from "./compile-memory.js";

/** Of the compiler's: where it asks for models of the Hugging Face Hub. */
const HUB_FD = 3;
/** Signals by which someone ends a command, rather than a fault. */
const ASKED: readonly (NodeJS.Signals | null)[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Runs `neuron-blip compile`: scripts/compile/trace.py, which has the options and their `--help`, with the Python that
 * `NEURON_BLIP_PYTHON` names, by default `python3`.
 * @returns its exit code: 0, 1 or 2; 128 and the signal's number where it was asked to end.
 */
export function run(args: string[]): Promise<number> {
  const script = fileURLToPath(new URL("../../scripts/compile/trace.py", import.meta.url));
  const python = process.env.NEURON_BLIP_PYTHON ?? "python3";
  return new Promise((resolve, reject) => {
    // The name that its help and its complaints begin with.
    const env = { ...process.env, NEURON_BLIP_PROG: "neuron-blip compile", NEURON_BLIP_HUB_FD: String(HUB_FD) };
    const child = spawn(python, [script, ...args], { stdio: ["inherit", "inherit", "inherit", "pipe"], env });
    const channel = child.stdio[HUB_FD];
    if (channel instanceof Duplex) void serveModels(channel);
    child.on("error", (cause) => reject(noPython(python, cause)));
    // Ctrl-C reaches both from the terminal; Python's own answer to it is waited for. The others are sent to this process alone.
    const waitForPython = () => {};
    const passOn = (signal: NodeJS.Signals) => child.kill(signal);
    process.on("SIGINT", waitForPython).on("SIGTERM", passOn).on("SIGHUP", passOn);
    child.on("close", (code, signal) => {
      process.off("SIGINT", waitForPython).off("SIGTERM", passOn).off("SIGHUP", passOn);
      if (signal === null || ASKED.includes(signal)) {
        resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
        return;
      }
      died(signal, args).then(reject, reject);
    });
  });
}

function noPython(python: string, cause: Error): NeuronBlipError {
  return new NeuronBlipError(
    "COMPILE_FAILED",
    `Compiling needs Python, and "${python}" does not run (${codeOf(cause) === "ENOENT" ? "there is no such program" : cause.message}). ` +
      "Install Python 3.10 or later, or name yours in NEURON_BLIP_PYTHON.",
    { cause },
  );
}

/** Says what ended the compiler, which had no time to say it. */
async function died(signal: NodeJS.Signals, args: readonly string[]): Promise<NeuronBlipError> {
  const goesOn = "Run the same command again: parts that are finished are kept, and it goes on from there.";
  if (signal === "SIGKILL") {
    return new NeuronBlipError(
      "COMPILE_FAILED",
      `The compiler was killed (SIGKILL), as the system does to a process when memory runs out. ${await memoryAdvice(args)} ` +
        `If somebody else ended it, that is no fault. ${goesOn}`,
    );
  }
  return new NeuronBlipError(
    "COMPILE_FAILED",
    `The compiler was ended by ${signal}: a fault in Python, in torch or in the Neuron compiler, or a full disk. ${goesOn} If it ends there again, ` +
      "install the versions of scripts/compile/requirements.txt.",
  );
}
