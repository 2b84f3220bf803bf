/** What `neuron-blip validate` finds out: report.json holds a Report. Times are in milliseconds, memory in bytes, unless named. */
import type { CheckId } from "../report/findings.js";
import type { HostFacts, RanOn, RuntimeFacts } from "../report/host.js";
import type { Histogram, Summary } from "../report/statistics.js";

/** The version of report.json; raised when a field changes its meaning. */
export const REPORT_VERSION = 1;

export type Status = "pass" | "warning" | "fail" | "skipped";

/** One thing that was checked, in words. */
export interface Check {
  readonly id: CheckId;
  readonly status: Status;
  /** What was found, with its figures. */
  readonly what: string;
  /** What to do about it. */
  readonly cure?: string;
}

/** How a result differs from the recorded one. */
export interface Difference {
  /** Such as "last_hidden_state". */
  readonly output: string;
  /** null where the results cannot be compared: `problem` says why. */
  readonly largest: number | null;
  readonly mean: number | null;
  /** The largest absolute value that was recorded, which the tolerance is relative to. */
  readonly scale: number;
  /** largest / scale. */
  readonly relative: number | null;
  readonly problem?: string;
}

export interface PartResult {
  readonly part: string;
  readonly usesNeuron: boolean;
  /** From the call to a part that is ready, in a fresh process; the first part's includes starting libtorch. */
  readonly loadMs: number;
  /** The first run, which may still prepare things. */
  readonly firstRunMs: number;
  readonly latencyMs: Summary;
  readonly differences: readonly Difference[];
  /** Largest `relative` that passes. */
  readonly tolerance: number;
  readonly status: "pass" | "fail";
}

/** Whole results against the recorded ones: tokens of answers or captions, or a retrieval model's numbers. */
export type WholeResult =
  | {
      readonly kind: "tokens";
      readonly rows: number;
      readonly equalRows: number;
      readonly tokens: number;
      readonly equalTokens: number;
    }
  | { readonly kind: "scores"; readonly differences: readonly Difference[]; readonly tolerance: number };

/** What a steady load gave. */
export interface LoadResult {
  readonly callers: number;
  readonly seconds: number;
  readonly answers: number;
  readonly answersPerSecond: number;
  readonly latencyMs: Summary;
  readonly histogram: Histogram;
  /** How many outcomes were not the first for the same input. */
  readonly differentAnswers: number;
  /** Failed calls by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** The message of each code's first error. */
  readonly errorMessages: Readonly<Record<string, string>>;
}

/** A load of one number of replicas, in a process of its own. */
export interface ReplicasResult extends LoadResult {
  readonly replicas: number;
  readonly loadMs: number;
  /** From the start of loading to the first answer. */
  readonly firstAnswerMs: number;
  readonly rssBeforeLoad: number;
  readonly rssAfterLoad: number;
  /** After the first answers, when all that is allocated once is. */
  readonly rssAfterFirstAnswers: number;
  readonly rssPeak: number;
}

export interface SoakResult extends LoadResult {
  readonly replicas: number;
  readonly samples: readonly { readonly seconds: number; readonly rss: number }[];
  /** The last fifth's median RSS less the second fifth's. null where the soak was too short to tell. */
  readonly growth: number | null;
  readonly rssPeak: number;
  /** How long the event loop was kept from other work, at worst. */
  readonly eventLoopDelayMs: { readonly largest: number; readonly p99: number };
}

/** How a process ended after it had answered. */
export interface ExitResult {
  /** "process.exit()": in the middle of a further answer. "natural": after dispose, with nothing left to do. */
  readonly how: "process.exit()" | "natural";
  readonly answered: boolean;
  readonly code: number | null;
  readonly signal: string | null;
  /** What it wrote to stderr. */
  readonly stderr: string;
}

export interface ModelFacts {
  /** The directory's name, without the way to it. */
  readonly directory: string;
  readonly architecture: string;
  readonly target: string;
  readonly batchSize: number | null;
  readonly imageSize: number | null;
  readonly questionLength: number | null;
  readonly answerLength: number | null;
  readonly compilerArgs: readonly string[];
  readonly source: string | null;
  /** What the parts were made with: torch, transformers, python, torch_neuronx, neuronx_cc. */
  readonly versions: Readonly<Record<string, string | null>>;
}

/** How long things are done. */
export interface Settings {
  /** The most replicas. */
  readonly replicas: number;
  /** Of the CPU, for each replica; null: an equal share. */
  readonly threads: number | null;
  /** How long each latency and each throughput is measured. */
  readonly measureSeconds: number;
  readonly soakSeconds: number;
}

/** What loading the parts by themselves, and a whole model on one replica, found. */
export interface PartsResult {
  readonly runtime: RuntimeFacts;
  ranOn: RanOn | null;
  readonly parts: PartResult[];
  whole: WholeResult | null;
  /** What went wrong on the way, and what is not a figure of a part. */
  readonly checks: Check[];
}

export interface Report {
  readonly version: typeof REPORT_VERSION;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly seconds: number;
  /** Whether it was stopped before its end. */
  readonly stopped: boolean;
  readonly verdict: { readonly status: "pass" | "fail"; readonly words: string };
  readonly ranOn: RanOn | null;
  /** `ranOn` in words. */
  readonly ranOnWords: string;
  readonly settings: Settings;
  readonly versions: { readonly "neuron-blip": string; readonly node: string } & Partial<RuntimeFacts>;
  readonly host: HostFacts;
  readonly model: ModelFacts;
  readonly checks: readonly Check[];
  /** "answers", "captions" or "matches": what is counted. */
  readonly unit: string;
  readonly parts: readonly PartResult[];
  readonly whole: WholeResult | null;
  /** One caller, one replica. */
  readonly latency: ReplicasResult | null;
  readonly throughput: readonly ReplicasResult[];
  readonly soak: SoakResult | null;
  readonly exits: readonly ExitResult[];
}
