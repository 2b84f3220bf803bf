/** What callers and the queue say to each other. */
import type { BatchKind, CallTask } from "../util/diagnostics.js";

/** What a call is known by in the diagnostics. */
export interface CallName {
  readonly task: CallTask;
  readonly callId?: string | undefined;
}

/** A call that was admitted. */
export interface Ticket {
  /**
   * Whether its first rows will join the queue in a moment, so that others wait for them: not once they have, nor where they take
   * longer, because a picture is decoded before.
   */
  isComing: boolean;
}

/** What is to be done with rows, and with which others they may be done together. */
export interface Job<Model, Row, T> {
  /** Rows of jobs with one key run together, by the work of any of them. undefined: with none but those of their own call. */
  readonly key: string | undefined;
  /** What the rows are, for the diagnostics. Default "texts". */
  readonly kind?: BatchKind;
  /** The most rows of a batch. */
  readonly limit: number;
  /** Whether a batch is split where several replicas have nothing to do: where it pays to run fewer rows. Default false. */
  readonly splits?: boolean;
  /**
   * Runs rows as one batch.
   * @param signal another batch's, too, once this one has ended.
   * @returns a result for each row, in order.
   */
  work(model: Model, rows: readonly Row[], signal: AbortSignal): Promise<readonly T[]>;
  /** Keeps what a row needs until the batch has ended, although its call may have ended before. @returns what lets go. */
  hold?(row: Row): () => void;
  /**
   * Whether the work calls functions of the caller's. It is never repeated for single rows then, and a call whose work is under
   * way is only over when the work is, so that none of them is called any more. Default false.
   */
  readonly callsBack?: boolean;
  /** Whether work whose replica failed may be done again by another. Default true. */
  readonly retry?: boolean;
}

export interface RunOptions {
  signal?: AbortSignal | undefined;
  /**
   * Whether a row may fail alone: then each has its own result or error. Otherwise the first error is that of all, and what still
   * waits is not done. Default false.
   */
  settled?: boolean | undefined;
  /** The admitted call's that the rows are of: it begins when the first of them does. */
  ticket?: Ticket | undefined;
}
