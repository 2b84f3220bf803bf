import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { visibleCores } from "../../torch/neuron/neuron-runtime.js";
import { hostFacts } from "../report/host-facts.js";
import { ranOnWords } from "../report/runtime-facts.js";
import { counted } from "../report/words.js";
import { exitCheck, loadCheck, partChecks, scalingCheck, soakChecks, wholeChecks } from "./checks.js";
import { runExit } from "./exits.js";
import { readModel } from "./model-facts.js";
import {
  type Check,
  type ExitResult,
  REPORT_VERSION,
  type ReplicasResult,
  type Report,
  type Settings,
  type SoakResult,
} from "./report.js";
import { type RunStepOptions, runStep } from "./run-step.js";
import type { PartsResult } from "./steps/parts.js";
import { failedCheck, type StepInput } from "./steps/step.js";
import { unitOf } from "./workload.js";

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
  /** Stops; the report then holds what there is. */
  readonly signal?: AbortSignal;
  /** Told what is being done. */
  readonly say?: (text: string) => void;
}

/** How many callers ask at once for each replica: one is served while the other's picture is prepared. */
const CALLERS_PER_REPLICA = 2;

/**
 * Checks everything about a model directory on this host. Each step runs in a process of its own, one after the other.
 * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH` where the directory is no model; what
 * goes wrong later is in the report.
 */
export async function validate(directory: string, options: ValidateOptions = {}): Promise<Report> {
  const { signal = new AbortController().signal, say = () => {}, limitSeconds = 900 } = options;
  const started = new Date();
  const { facts: model } = await readModel(directory);
  const unit = unitOf(model.architecture);
  const settings: Settings = {
    replicas: replicasOf(options.replicas ?? "all", model.target),
    threads: options.threads ?? null,
    measureSeconds: options.measureSeconds ?? 10,
    soakSeconds: options.soakSeconds ?? 120,
  };
  const { threads, measureSeconds } = settings;
  const checks: Check[] = [];
  const inputOf = (replicas: number, callers: number, seconds: number): StepInput => {
    return { threads, replicas, callers, seconds };
  };
  const optionsOf = (seconds: number): RunStepOptions => ({ signal, say, limitSeconds: limitSeconds + seconds });
  /** Adds a step's failure to the checks, unless it was asked to stop. */
  const checkEnd = (id: string, failure: string | undefined) => {
    if (failure !== undefined && !signal.aborted) checks.push(failedCheck(id, `${id} did not finish: ${failure}`));
  };

  const partsOutcome = await runStep("parts", directory, inputOf(1, 1, measureSeconds), optionsOf(10 * measureSeconds));
  const found: PartsResult | undefined = partsOutcome.result;
  const ranOn = found?.ranOn ?? null;
  checks.push(...(found?.checks ?? []), ...partChecks(found?.parts ?? []));
  checks.push(...wholeChecks(found?.whole ?? null, ranOn === "cpu", unit));
  checkEnd("parts", partsOutcome.failure);

  /** Runs a load of some replicas. */
  const load = async (id: string, replicas: number, callers: number): Promise<ReplicasResult | undefined> => {
    if (signal.aborted) return undefined;
    const input = inputOf(replicas, callers, measureSeconds);
    const { result, failure } = await runStep("load", directory, input, optionsOf(measureSeconds));
    const what = `${counted(replicas, "replica")}, ${counted(callers, "caller")}`;
    if (result) checks.push(loadCheck(id, what, result, unit));
    checkEnd(id, failure);
    return result;
  };
  const latency = await load("latency", 1, 1);
  const throughput: ReplicasResult[] = [];
  for (const replicas of countsTo(settings.replicas)) {
    const result = await load(`throughput.${replicas}`, replicas, replicas * CALLERS_PER_REPLICA);
    if (result) throughput.push(result);
  }
  checks.push(...scalingCheck(throughput, ranOn, unit));

  let soak: SoakResult | undefined;
  if (!signal.aborted) {
    const input = inputOf(settings.replicas, settings.replicas * CALLERS_PER_REPLICA, settings.soakSeconds);
    const { result, failure } = await runStep("soak", directory, input, optionsOf(settings.soakSeconds));
    soak = result;
    if (soak) checks.push(...soakChecks(soak, unit));
    checkEnd("soak", failure);
  }

  const exits: ExitResult[] = [];
  for (const how of ["process.exit()", "natural"] as const) {
    if (signal.aborted) break;
    say(`ending a process: ${how}`);
    const exit = await runExit(how, directory, { threads, limitSeconds, signal });
    if (signal.aborted) break;
    exits.push(exit);
    checks.push(exitCheck(exit));
  }

  return {
    version: REPORT_VERSION,
    startedAt: started.toISOString(),
    seconds: (Date.now() - started.getTime()) / 1000,
    stopped: signal.aborted,
    verdict: verdictOf(checks, signal.aborted),
    ranOn,
    ranOnWords: ranOnWords(ranOn),
    settings,
    versions: { "neuron-blip": await ownVersion(), node: process.versions.node, ...found?.runtime },
    host: hostFacts(),
    model,
    checks,
    unit,
    parts: found?.parts ?? [],
    whole: found?.whole ?? null,
    latency: latency ?? null,
    throughput,
    soak: soak ?? null,
    exits,
  };
}

/** 1, 2, 4, … and the number itself; every number up to 4. */
export function countsTo(most: number): number[] {
  const counts = [1, 2, 3, 4, 8, 16, 32, 64].filter((count) => count < most);
  return [...counts, most];
}

function replicasOf(replicas: number | "all", target: string): number {
  if (replicas !== "all") return replicas;
  // Asking the runtime claims no core. Where it does not tell, loading says why.
  const cores = target === "cpu" ? undefined : visibleCores();
  return cores || Math.min(2, availableParallelism());
}

function verdictOf(checks: readonly Check[], stopped: boolean): Report["verdict"] {
  const of = (status: Check["status"]) => checks.filter((check) => check.status === status);
  const [failed, warned] = [of("fail"), of("warning")];
  const warnings =
    warned.length > 0
      ? ` ${warned.length} ${warned.length === 1 ? "needs" : "need"} a look: ${warned.map(({ id }) => id).join(", ")}.`
      : "";
  if (failed.length > 0) {
    const ids = failed.map(({ id }) => id).join(", ");
    const words = `Failed: ${failed.length} of ${checks.length} checks did not pass: ${ids}.${warnings}`;
    return { status: "fail", words: stopped ? `${words} It was stopped before its end.` : words };
  }
  if (stopped) {
    const words = `Stopped before its end: what was checked until then (${checks.length} checks) did not fail.${warnings}`;
    return { status: "fail", words };
  }
  return { status: "pass", words: `Passed: ${of("pass").length} checks passed, and none failed.${warnings}` };
}

async function ownVersion(): Promise<string> {
  return JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8")).version;
}
