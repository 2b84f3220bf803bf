import { fork } from "node:child_process";
import { packageFile } from "../../util/package-file.js";
import { Host } from "../report/host.js";
import type { StepInput, StepMessage } from "./step.js";
import type { StepResults } from "./step-process.js";

export interface RunStepOptions {
  /** Stops the step, which then gives what it has. */
  readonly signal: AbortSignal;
  /** How long the step may take before it is ended. */
  readonly limitSeconds: number;
  say(text: string): void;
}

/** What a step found out, whole or in part; and why it is not whole. */
export interface StepOutcome<Result> {
  readonly result: Result | undefined;
  readonly failure: string | undefined;
}

/** How long a stopped step has to come to an end. A load of a large model may not be interruptible. */
const STOP_GRACE_MS = 10_000;

/** Runs a step in a process of its own; whatever happens to that, it resolves. */
export function runStep<Name extends keyof StepResults>(
  step: Name,
  directory: string,
  input: StepInput,
  { signal, limitSeconds, say }: RunStepOptions,
): Promise<StepOutcome<StepResults[Name]>> {
  return new Promise((resolve) => {
    const child = fork(packageFile("tools/validate/step-process.js"), [JSON.stringify([step, directory, input])], {
      serialization: "advanced",
      stdio: ["ignore", 2, 2, "ipc"],
    });
    let result: StepResults[Name] | undefined;
    let failure: string | undefined = "its process ended before it was done";
    let ended: string | undefined;
    const end = (why: string) => {
      ended = why;
      child.kill("SIGKILL");
    };
    const limit = setTimeout(() => end(`it took longer than ${limitSeconds} s, and was ended`), limitSeconds * 1000);
    let grace: NodeJS.Timeout | undefined;
    const stop = () => {
      if (child.connected) child.send("stop", () => {});
      grace = setTimeout(() => end("it was stopped"), STOP_GRACE_MS);
    };
    child.on("message", (message) => {
      const said = message as StepMessage;
      if (said.kind === "say") say(said.text);
      else if (said.kind === "failed") failure = said.message;
      else {
        result = said.result as StepResults[Name];
        if (said.kind === "done") failure = undefined;
      }
    });
    child.on("error", (error) => {
      failure = error.message;
    });
    child.on("close", (code, killedBy) => {
      clearTimeout(limit);
      clearTimeout(grace);
      signal.removeEventListener("abort", stop);
      const hint = ": a disk, such as that of /tmp, may be full (`neuron-blip doctor` tells)";
      if (killedBy) ended ??= `its process ended with ${killedBy}${killedBy === "SIGBUS" ? hint : ""}`;
      else if (code && failure === undefined) ended ??= `its process exited with ${code}`;
      resolve({ result, failure: ended ?? failure });
    });
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
}

/** How a process ended after it had answered. */
export type ExitResult = Awaited<ReturnType<typeof runExit>>;

/**
 * Starts a process that loads the model, answers, and ends in the given way.
 * @param how "process.exit()": in the middle of a further answer. "natural": after dispose, with nothing left to do.
 * @param limitSeconds how long it may take before it is killed, which its `signal` then shows.
 */
export async function runExit(
  how: "process.exit()" | "natural",
  directory: string,
  threads: number | null,
  limitSeconds: number,
  signal: AbortSignal,
) {
  const script = packageFile("tools/validate/exit-process.js");
  const ended = await new Host().runNode(script, [directory, `${threads ?? ""}`, how], limitSeconds, signal);
  const { code, stdout, stderr, error = "" } = ended;
  const answered = stdout.includes("answered");
  return { how, answered, code, signal: ended.signal, stderr: (stderr + error).slice(-4000) };
}
