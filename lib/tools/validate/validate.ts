import { availableParallelism } from "node:os";
import { readManifest } from "../../blip/manifest.js";
import { modelDirectoryOf } from "../../blip/model-directory.js";
import type { HubOptions } from "../../hub/hub-options.js";
import { binaryHost } from "../../torch/binary/choose-binary.js";
import { visibleCores } from "../../torch/neuron/neuron-runtime.js";
import type { CheckId } from "../report/findings.js";
import { Host, RAN_ON } from "../report/host.js";
import { counted } from "../report/words.js";
import { type Check, failedCheck } from "./check.js";
import { exitCheck, loadCheck, partChecks, scalingCheck, soakChecks, wholeChecks } from "./checks.js";
import type { ReplicasResult } from "./load.js";
import { factsOf, readCompiledConfig } from "./model.js";
import { type ExitResult, runExit, runStep } from "./run-step.js";
import type { StepResults } from "./step-process.js";
import { unitOf } from "./workload.js";

/** The version of report.json; raised when a field changes its meaning. */
const REPORT_VERSION = 1;

/** What `neuron-blip validate` finds out: report.json holds it. Times are in milliseconds, memory in bytes, unless named. */
export type Report = Awaited<ReturnType<typeof validate>>;

export interface ValidateOptions {
  /** The most replicas. Default "all": one for each NeuronCore; on the CPU 2, or 1 where it has one core. */
  readonly replicas?: number | "all";
  /** Cores of the CPU for each replica. Default: an equal share. */
  readonly threads?: number;
  /** How long each latency and each throughput is measured, in seconds. Default 10. */
  readonly measureSeconds?: number;
  /** How long the soak is, in seconds. Default 120. */
  readonly soakSeconds?: number;
  /** How much longer than its own time a step may take, to load and to warm up. Default 900. */
  readonly limitSeconds?: number;
  /** For a name on the Hugging Face Hub. */
  readonly hub?: HubOptions;
  /** Stops; the report then holds what there is. */
  readonly signal?: AbortSignal;
  /** Told what is being done. */
  readonly say?: (text: string) => void;
}

/** How many callers ask at once for each replica: one is served while the other's picture is prepared. */
const CALLERS_PER_REPLICA = 2;

type Limits = "replicas" | "callers" | "seconds" | "limit";

/**
 * Checks everything about a model on this host. Each step runs in a process of its own, one after the other.
 * @param given a directory, or a name on the Hugging Face Hub.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH` where the directory is no model; what
 * goes wrong later is in the report.
 */
export async function validate(given: string, options: ValidateOptions = {}) {
  const { signal = new AbortController().signal, say = () => {}, limitSeconds = 900, threads = null } = options;
  const { measureSeconds = 10, soakSeconds = 120 } = options;
  const started = new Date();
  const directory = await modelDirectoryOf(given, { ...options.hub, signal });
  const config = await readCompiledConfig(directory);
  // What is wrong with it, each step says that loads the model.
  const manifest = await readManifest(directory, config.architecture).catch(() => undefined);
  const unit = unitOf(config.architecture);
  const most = replicasOf(options.replicas ?? "all", manifest?.target);
  const checks: Check[] = [];

  /** Runs a step, unless it was asked to stop; what keeps it from its end is a check that fails. */
  const run = async <Name extends keyof StepResults>(
    step: Name,
    id: CheckId,
    { replicas = 1, callers = 1, seconds = measureSeconds, limit = seconds }: Partial<Record<Limits, number>>,
    judge: (result: StepResults[Name]) => Check[],
  ): Promise<StepResults[Name] | null> => {
    if (signal.aborted) return null;
    const input = { id, threads, replicas, callers, seconds };
    const limits = { signal, say, limitSeconds: limitSeconds + limit };
    const { result, failure } = await runStep(step, directory, input, limits);
    if (result) checks.push(...judge(result));
    if (failure !== undefined && !signal.aborted) checks.push(failedCheck(id, `${id} did not finish: ${failure}`));
    return result ?? null;
  };
  const load = (id: CheckId, replicas: number, callers: number) => {
    const what = `${counted(replicas, "replica")}, ${counted(callers, "caller")}`;
    return run("load", id, { replicas, callers }, (result) => [loadCheck(id, what, result, unit)]);
  };

  const parts = await run("parts", "parts", { limit: 10 * measureSeconds }, (found) => [
    ...found.checks,
    ...partChecks(found.parts),
    ...wholeChecks(found.whole, found.ranOn === "cpu", unit),
  ]);
  const ranOn = parts?.ranOn ?? null;
  const latency = await load("latency", 1, 1);
  const throughput: ReplicasResult[] = [];
  for (const replicas of countsTo(most)) {
    const result = await load(`throughput.${replicas}`, replicas, replicas * CALLERS_PER_REPLICA);
    if (result) throughput.push(result);
  }
  checks.push(...scalingCheck(throughput, ranOn, unit));
  const ofSoak = { replicas: most, callers: most * CALLERS_PER_REPLICA, seconds: soakSeconds };
  const soak = await run("load", "soak", ofSoak, (result) => soakChecks(result, unit));
  const exits: ExitResult[] = [];
  for (const how of ["process.exit()", "natural"] as const) {
    if (signal.aborted) break;
    say(`ending a process: ${how}`);
    const exit = await runExit(how, directory, threads, limitSeconds, signal);
    if (signal.aborted) break;
    exits.push(exit);
    checks.push(exitCheck(exit));
  }

  return {
    version: REPORT_VERSION,
    startedAt: started.toISOString(),
    seconds: (Date.now() - started.getTime()) / 1000,
    /** Whether it was stopped before its end. */
    stopped: signal.aborted,
    verdict: verdictOf(checks, signal.aborted),
    ranOn,
    ranOnWords: ranOn ? RAN_ON[ranOn] : "nothing: no part was loaded",
    settings: { replicas: most, threads, measureSeconds, soakSeconds },
    versions: { "neuron-blip": binaryHost().own().version, node: process.versions.node, ...parts?.runtime },
    host: await new Host().facts(),
    model: factsOf(directory, config, manifest),
    checks,
    /** "answers", "captions" or "matches": what is counted. */
    unit,
    parts: parts?.parts ?? [],
    whole: parts?.whole ?? null,
    /** One caller, one replica. */
    latency,
    throughput,
    soak,
    exits,
  };
}

/** Lists 1, 2, 4, … and the number itself; every number up to 4. */
export function countsTo(most: number): number[] {
  const counts = [1, 2, 3, 4, 8, 16, 32, 64].filter((count) => count < most);
  return [...counts, most];
}

function replicasOf(replicas: number | "all", target: string | undefined): number {
  if (replicas !== "all") return replicas;
  // Asking the runtime claims no core. Where it does not tell, loading says why.
  const cores = target === "cpu" ? undefined : visibleCores();
  return cores || Math.min(2, availableParallelism());
}

function verdictOf(checks: readonly Check[], stopped: boolean): { status: "pass" | "fail"; words: string } {
  const idsOf = (status: Check["status"]) => checks.filter((check) => check.status === status).map(({ id }) => id);
  const [passed, failed, warned] = [idsOf("pass"), idsOf("fail"), idsOf("warning")];
  const need = warned.length === 1 ? "needs" : "need";
  const warnings = warned.length > 0 ? ` ${warned.length} ${need} a look: ${warned.join(", ")}.` : "";
  if (failed.length > 0) {
    const words = `Failed: ${failed.length} of ${checks.length} checks did not pass: ${failed.join(", ")}.${warnings}`;
    return { status: "fail", words: stopped ? `${words} It was stopped before its end.` : words };
  }
  if (stopped) {
    const words = `Stopped before its end: what was checked until then (${checks.length} checks) did not fail.${warnings}`;
    return { status: "fail", words };
  }
  return { status: "pass", words: `Passed: ${passed.length} checks passed, and none failed.${warnings}` };
}
