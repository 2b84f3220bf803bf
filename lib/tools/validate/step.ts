/** A step is run in a process of its own: a crash there is a finding, and no step holds NeuronCores that another needs. */
import type { CheckId } from "../report/findings.js";

export interface StepContext {
  readonly directory: string;
  /** Ends the step early; it returns what it has. */
  readonly signal: AbortSignal;
  /** Tells the person who waits. */
  say(text: string): void;
  /** Keeps what there is so far, should the process not reach its end. */
  keep(result: unknown): void;
}

export interface StepInput {
  /** What it is for, by its check's id. */
  readonly id: CheckId;
  readonly threads: number | null;
  readonly seconds: number;
  readonly replicas: number;
  readonly callers: number;
}

/** From the step's process to its parent. */
export type StepMessage =
  | { readonly kind: "say"; readonly text: string }
  | { readonly kind: "keep" | "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly message: string };
