import { runOfServer } from "./server-package.js";

/** Runs `neuron-blip work`: does the jobs of a queue. @returns the exit code. */
export function run(args: string[]): Promise<number> {
  return runOfServer("runWork", args);
}
