import type { CheckId } from "../report/findings.js";
import type { RanOn } from "../report/host.js";
import { counted, megabytes, milliseconds, percent, perSecond, seconds, small } from "../report/words.js";
import { type Check, failedCheck, type Status } from "./check.js";
import type { Difference } from "./differences.js";
import type { LoadResult, ReplicasResult } from "./load.js";
import type { PartResult } from "./parts.js";
import type { ExitResult } from "./run-step.js";
import type { WholeResult } from "./whole.js";

/** What decides about a replica's share of the work of one alone; below it something holds the others back. */
const LEAST_EFFICIENCY = 0.7;
/** Growth of memory over the soak that asks for a longer look. */
const MUCH_GROWTH = 64e6;
/** What keeps the event loop longer than this is felt by every other request of a server. */
const LONG_DELAY_MS = 200;

const CASTS = "Neuron's casts make results differ; were the parts compiled with other --compiler-args? ";

/** Makes a check that passes, or else has another status and a cure. */
function check(id: CheckId, passes: boolean, otherwise: Status, what: string, cure: string): Check {
  return passes ? { id, status: "pass", what } : { id, status: otherwise, what, cure };
}

/** Checks whether each part's results are the recorded ones. */
export function partChecks(parts: readonly PartResult[]): Check[] {
  return parts.map(({ part, differences, tolerance, status, usesNeuron }) => {
    const wide = usesNeuron ? ", wide because of the Neuron compiler's casts" : "";
    const what = `${part} against what was recorded: ${differences.map(differenceWords).join("; ")}. Tolerance ${small(tolerance)} of the largest value${wide}.`;
    const cure = `${usesNeuron ? CASTS : ""}Copy the model directory again, or compile the model again; report it if that does not help.`;
    return check(`part.${part}`, status === "pass", "fail", what, cure);
  });
}

/**
 * Checks whether whole answers are the recorded ones.
 * @param exact whether they must be.
 */
export function wholeChecks(whole: WholeResult | null, exact: boolean, unit: string): Check[] {
  if (whole === null) return [];
  if (whole.kind === "scores") {
    return whole.differences.map((difference) => {
      const what = `${differenceWords(difference)}; tolerance ${small(whole.tolerance)} of 1.`;
      const within = difference.largest !== null && difference.largest <= whole.tolerance;
      return { id: `whole.${difference.output}`, status: within ? "pass" : "fail", what };
    });
  }
  const { rows, equalRows, tokens, equalTokens } = whole;
  const what =
    `${equalRows} of ${rows} ${unit} (${percent(equalRows / rows)}) and ${equalTokens} of ${tokens} tokens ` +
    `(${percent(equalTokens / tokens)}) equal those of transformers.`;
  const cure = exact
    ? "Report this: on the CPU, in fp32, tokens are to be equal."
    : "Rounding can turn a close race between two tokens, after which the rest differs. Judge by answers to your own questions.";
  return [check("tokens", equalRows === rows, exact ? "fail" : "warning", what, cure)];
}

/** Checks whether a load went without errors and with equal outcomes. */
export function loadCheck(id: CheckId, what: string, result: LoadResult, unit: string): Check {
  const { answers, differentAnswers, errors, errorMessages } = result;
  const codes = Object.entries(errors).map(([code, count]) => `${count} ${code} (${errorMessages[code]})`);
  const words = `${what}: ${answers} ${unit} in ${seconds(result.seconds)}`;
  if (codes.length === 0 && differentAnswers === 0 && answers > 0) {
    return { id, status: "pass", what: `${words}, no errors, and each the same as the first for its input.` };
  }
  return failedCheck(
    id,
    `${words}; errors: ${codes.join(", ") || "none"}; ${differentAnswers} differed from the first for the same input.`,
    "Errors: docs/errors.md has the cure of each code. Results that change for one input are a fault: report it.",
  );
}

/** Checks how the throughput of several replicas compares with one's. */
export function scalingCheck(throughput: readonly ReplicasResult[], ranOn: RanOn | null, unit: string): Check[] {
  const one = throughput[0];
  const most = throughput.at(-1);
  if (!one || !most || one === most || one.replicas !== 1) return [];
  const factor = most.answersPerSecond / one.answersPerSecond;
  const efficiency = factor / most.replicas;
  const what =
    `${most.replicas} replicas gave ${perSecond(most.answersPerSecond, unit)}, ${factor.toFixed(2)} times one's ` +
    `${perSecond(one.answersPerSecond, unit)} (${percent(efficiency)} of ${most.replicas} times).`;
  if (ranOn === "cpu") {
    const unjudged = `${what} Not judged: on the CPU, replicas share the same cores.`;
    return [{ id: "scaling", status: "skipped", what: unjudged }];
  }
  const cure =
    "Each replica should have a NeuronCore to itself: see `npx neuron-blip doctor` for the cores, and whether the host's own " +
    "cores are all busy.";
  return [check("scaling", efficiency >= LEAST_EFFICIENCY, "warning", what, cure)];
}

export function soakChecks(soak: ReplicasResult, unit: string): Check[] {
  const { largest, p99 } = soak.eventLoopDelayMs;
  const delays = `The event loop was held up for at most ${milliseconds(largest)} (p99 ${milliseconds(p99)}).`;
  const busy = "Is the host busy with other work? Then run this again when it is not.";
  return [
    loadCheck("soak", `Soak of ${counted(soak.replicas, "replica")}`, soak, unit),
    growthCheck(soak),
    check("event-loop", largest <= LONG_DELAY_MS, "warning", delays, busy),
  ];
}

function growthCheck({ growth, samples, seconds: time }: ReplicasResult): Check {
  if (growth === null) {
    const what = `Growth of memory is not judged in ${seconds(time)}: a soak of 30 s or more tells.`;
    return { id: "memory", status: "skipped", what };
  }
  const [start, end] = [samples[0]?.rss ?? 0, samples.at(-1)?.rss ?? 0].map(megabytes);
  const what = `Memory (RSS) went from ${start} to ${end} over ${seconds(time)}; once warm it grew by ${megabytes(growth)}.`;
  const cure = "Run again with --soak 1800: if it goes on growing, report it.";
  return check("memory", growth <= MUCH_GROWTH, "warning", what, cure);
}

export function exitCheck({ how, answered, code, signal, stderr }: ExitResult): Check {
  const id = how === "natural" ? "exit.natural" : "exit.process-exit";
  const when = how === "natural" ? "after dispose()" : "with process.exit() in the middle of an answer";
  if (answered && code === 0 && signal === null) {
    return { id, status: "pass", what: `A process that ended ${when} ended with code 0.` };
  }
  // Of an error that was not caught, Node writes the message before its stack and the version.
  const said = /^\w*Error: .*/m.exec(stderr)?.[0] ?? stderr.trim().split("\n").at(-1);
  const ended = `${signal ? `with ${signal}` : `with code ${code}`}${answered ? "" : ", before it had answered"}`;
  const what = `A process that was to end ${when} ended ${ended}${said ? `: ${said}` : "."}`;
  return failedCheck(id, what, answered ? "Report this, with the report's files." : undefined);
}

function differenceWords({ output, largest, mean, relative, problem }: Difference): string {
  if (problem !== undefined) return `${output}: ${problem}`;
  if (largest === 0) return `${output} is equal`;
  return `${output} differs by at most ${small(largest)}, ${small(mean)} on average (${small(relative)} of the largest value)`;
}
