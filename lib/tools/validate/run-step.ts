import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { StepInput, StepMessage, StepName, StepRequest, StepResults } from "./steps/step.js";

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
export function runStep<Name extends StepName>(
  step: Name,
  directory: string,
  input: StepInput,
  { signal, limitSeconds, say }: RunStepOptions,
): Promise<StepOutcome<StepResults[Name]>> {
  const request: StepRequest = { step, directory, input };
  const path = fileURLToPath(new URL("./step-process.js", import.meta.url));
  return new Promise((resolve) => {
    const child = fork(path, [JSON.stringify(request)], { serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
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
      else if (said.kind === "failed") failure = said.message + (said.code ? ` [${said.code}]` : "");
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
      const bad = killedBy
        ? `its process ended with ${killedBy}${killedBy === "SIGBUS" ? ": a disk, such as that of /tmp, may be full (`neuron-blip doctor` tells)" : ""}`
        : code
          ? `its process exited with ${code}`
          : undefined;
      const why = ended ?? (killedBy || failure === undefined ? bad : undefined);
      resolve({ result, failure: why ?? failure });
    });
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
}
