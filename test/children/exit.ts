// Runs the processes of which the tests say how they end.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { fixture } from "../helpers.ts";

/** How each process ends, and the exit code that Node gives for it. */
export const endings: Record<string, number> = {
  natural: 0,
  exit: 3,
  throw: 1,
  "exit-in-exit-handler": 3,
  "throw-in-exit-handler": 4,
  "exit-with-worker": 3,
  "worker-natural": 0,
  "worker-exit": 0,
  "worker-throw": 0,
  "worker-terminate": 0,
};

/** Set by `npm run test:exit`. */
const node = process.env.EXIT_NODE ?? process.execPath;
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const slowModule = fixture("modules/slow.pt");

export interface Outcome {
  status: number | string | null;
  stdout: string;
  stderr: string;
}

/** Ends a process by exit.mjs. */
export function runExit(ending: string, moment: string, module = slowModule): Promise<Outcome> {
  return spawnChild("exit.mjs", [module, ending, moment], process.env);
}

/** Runs a script of this directory with the Node that is tested. */
export function spawnChild(name: string, args: string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const spawned = spawn(node, [here(name), ...args], { stdio: ["ignore", "pipe", "pipe"], env });
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      spawned[stream].on("data", (text) => {
        output[stream] += text;
      });
    }
    spawned.on("error", reject);
    spawned.on("close", (status, signal) => resolve({ status: status ?? signal, ...output }));
  });
}
