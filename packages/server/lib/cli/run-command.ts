import { NeuronBlipError } from "neuron-blip";
import { UsageError } from "./arguments.js";

/** Runs a command. @returns its exit code; where it fails, 2 for wrong arguments and else 1, with a line that says why. */
export async function runCommand(command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof NeuronBlipError || isOfSystem(error))) throw error;
    const code = error instanceof NeuronBlipError ? ` [${error.code}]` : "";
    process.stderr.write(`neuron-blip: ${error.message}${code}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Tells whether an error is the operating system's: of a file, or of a port. */
function isOfSystem(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
