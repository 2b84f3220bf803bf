/** The process of a step: `fork`ed by run-step.js, with the step, the directory and the input as its argument. */
import { wordsOf } from "../report/words.js";
import { loadStep } from "./load.js";
import { partsStep } from "./parts.js";
import type { StepInput, StepMessage } from "./step.js";

const STEPS = { parts: partsStep, load: loadStep };
type Steps = typeof STEPS;
/** What each step finds out. */
export type StepResults = { readonly [Step in keyof Steps]: Awaited<ReturnType<Steps[Step]>> };

const [step, directory, input]: [keyof Steps, string, StepInput] = JSON.parse(process.argv[2] ?? "");
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
  await send({ kind: "failed", message: wordsOf(error) });
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
