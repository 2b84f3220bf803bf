import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ExitResult } from "./report.js";

export interface ExitOptions {
  readonly threads: number | null;
  /** How long the process may take before it is killed, which its `signal` then shows. */
  readonly limitSeconds: number;
  readonly signal: AbortSignal;
}

/** Starts a process that loads the model, answers, and ends in the given way. */
export function runExit(
  how: ExitResult["how"],
  directory: string,
  { threads, limitSeconds, signal }: ExitOptions,
): Promise<ExitResult> {
  const script = fileURLToPath(new URL("./exit-process.js", import.meta.url));
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, directory, `${threads ?? ""}`, how], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const kill = () => child.kill("SIGKILL");
    const limit = setTimeout(kill, limitSeconds * 1000);
    signal.addEventListener("abort", kill);
    const end = (code: number | null, killedBy: string | null) => {
      clearTimeout(limit);
      signal.removeEventListener("abort", kill);
      resolve({ how, answered: stdout.includes("answered"), code, signal: killedBy, stderr: stderr.slice(-4000) });
    };
    child.on("error", (error) => {
      stderr += error.message;
      end(null, null);
    });
    child.on("close", end);
  });
}
