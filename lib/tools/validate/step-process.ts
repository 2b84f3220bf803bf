/** The process of a step: `fork`ed by run-step.js, with a StepRequest as its argument. */
import { messageOf, NeuronBlipError } from "../../errors.js";
import { loadStep } from "./steps/load.js";
import { partsStep } from "./steps/parts.js";
import { soakStep } from "./steps/soak.js";
import type { StepContext, StepInput, StepMessage, StepName, StepRequest } from "./steps/step.js";

const STEPS: Readonly<Record<StepName, (context: StepContext, input: StepInput) => Promise<unknown>>> = {
  parts: partsStep,
  load: loadStep,
  soak: soakStep,
};

const { step, directory, input } = JSON.parse(process.argv[2] as string) as StepRequest;
const stopped = new AbortController();
// Ctrl-C reaches every process of the terminal; here the parent's word counts.
process.on("SIGINT", () => {});
process.on("message", () => stopped.abort());
process.on("disconnect", () => process.exit(1));

try {
  const say = (text: string) => send({ kind: "say", text });
  const keep = (result: unknown) => send({ kind: "keep", result });
  await send({ kind: "done", result: await STEPS[step]({ directory, signal: stopped.signal, say, keep }, input) });
} catch (error) {
  const code = error instanceof NeuronBlipError ? { code: error.code } : {};
  await send({ kind: "failed", message: messageOf(error), ...code });
}
// Left to end by itself: a process that does not is a finding too.
process.removeAllListeners("disconnect");
process.disconnect();

/** Resolves when the parent has it. */
function send(message: StepMessage): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, () => resolve());
  });
}
