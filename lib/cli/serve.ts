import { runOfServer } from "./server-package.js";

/** Runs `neuron-blip serve`: answers by HTTP. @returns the exit code. */
export function run(args: string[]): Promise<number> {
  return runOfServer("runServe", args);
}
