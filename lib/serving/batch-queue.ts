// Not the global ones, which tests replace: jsdom and fake timers.
import { performance } from "node:perf_hooks";
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { abortedError, NeuronBlipError } from "../errors.js";
import { fulfilled, onAbort } from "../util/concurrency.js";
import { type BatchKind, runningCall, traceBatch } from "../util/diagnostics.js";
import type { Admission, Ticket } from "./admission.js";
import type { Replicas } from "./replicas.js";

/** What is to be done with rows, and with which others they may be done together. */
export interface Job<Model, Row, T> {
  /** Rows of jobs with one key run together, by the work of any of them. undefined: with none but those of their own call. */
  readonly key: string | undefined;
  /** What the rows are, for who listens. Default "texts". */
  readonly kind?: BatchKind;
  /** The most rows of a batch. */
  readonly limit: number;
  /** Whether a batch is split where several replicas have nothing to do: where it pays to run fewer rows. Default false. */
  readonly splits?: boolean;
  /** @returns a result for each row, in order. */
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
  /** Whether a row may fail alone. Otherwise the first error is that of all, and what still waits is not done. Default false. */
  settled?: boolean | undefined;
  /** The admitted call's that the rows are of: it begins when the first of them does. */
  ticket?: Ticket | undefined;
}

export interface BatchQueueOptions {
  /** How many batches a replica has in hand at once. Default 1. */
  batchesInHand?: number;
  /** How long rows wait for others to fill their batch, in ms, where a replica is free. Default 0. */
  maxDelayMs?: number;
  /**
   * Who knows of calls that have come and have no rows here yet: those are waited for briefly, since calls that were answered together
   * ask again together. Default: nobody.
   */
  admission?: Admission;
}

/** How long, in ms, rows wait at most for calls that have been admitted: theirs may be there by then, or not. */
const LONGEST_ARRIVAL_MS = 3;

type AnyJob<Model> = Job<Model, unknown, unknown>;

/** One call of `run`. */
interface Call<Model> {
  readonly job: AnyJob<Model>;
  readonly options: RunOptions;
  /** What it is known by, where anybody listens. */
  readonly callId: string | undefined;
  readonly results: PromiseSettledResult<unknown>[];
  missing: number;
  begun: boolean;
  /** Why it ended before all its rows did. */
  stopped: { error: unknown } | undefined;
  readonly batches: Set<Batch<Model>>;
  resolve(results: PromiseSettledResult<unknown>[]): void;
  reject(error: unknown): void;
}

interface WaitingRow<Model> {
  readonly row: unknown;
  readonly index: number;
  readonly call: Call<Model>;
  readonly order: number;
  readonly since: number;
}

interface Batch<Model> {
  readonly rows: readonly WaitingRow<Model>[];
  readonly controller: AbortController;
}

/** Rows that may run together, the oldest first. */
interface Group<Model> {
  readonly job: AnyJob<Model>;
  rows: WaitingRow<Model>[];
  /** Whether younger rows went before these while they waited for others: then they wait for others no more. */
  passedOver: boolean;
}

/**
 * The calls that wait for a replica. When one is free, the row that waits longest goes next, and with it, as far as the batch
 * holds them, those that came later and may run with it. What comes in one turn of the event loop is considered as a whole.
 *
 * Where a batch fails, and not its replica, each row is run again alone, so that none fails for another's fault.
 */
export class BatchQueue<Model extends AsyncDisposable> {
  readonly #replicas: Replicas<Model>;
  readonly #batchesInHand: number;
  readonly #maxDelayMs: number;
  readonly #admission: Admission | undefined;
  readonly #groups = new Map<unknown, Group<Model>>();
  /** When a batch ended last: those whose calls it answered may ask again, together with those that waited meanwhile. */
  #roomSince = 0;
  #order = 0;
  #batches = 0;
  #rows = 0;
  #lastBatchEndedAt: number | undefined;
  #closed = false;
  #next: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(replicas: Replicas<Model>, { batchesInHand = 1, maxDelayMs = 0, admission }: BatchQueueOptions = {}) {
    this.#replicas = replicas;
    this.#batchesInHand = batchesInHand;
    this.#maxDelayMs = maxDelayMs;
    this.#admission = admission;
    replicas.onRoom(() => {
      this.#roomSince = performance.now();
      this.#beginSoon();
    });
  }

  /** How many batches have ended, with how many rows, and when the last did. */
  get done(): { batches: number; rows: number; lastBatchEndedAt: number | undefined } {
    return { batches: this.#batches, rows: this.#rows, lastBatchEndedAt: this.#lastBatchEndedAt };
  }

  /**
   * Runs rows, in batches that other calls' rows may share.
   * @returns each row's result or error, in order.
   * @throws what the work throws, unless `settled`; NeuronBlipError `ABORTED`, at once, unless the work calls back; `DISPOSED`.
   */
  async run<Row, T>(
    rows: readonly Row[],
    job: Job<Model, Row, T>,
    options: RunOptions = {},
  ): Promise<PromiseSettledResult<T>[]> {
    if (this.#closed) throw disposedError();
    if (options.signal?.aborted) throw abortedError(options.signal);
    if (rows.length === 0) return [];
    let stopListening = () => {};
    const done = new Promise<PromiseSettledResult<unknown>[]>((resolve, reject) => {
      const call = this.#add(rows, job as unknown as AnyJob<Model>, options, resolve, reject);
      stopListening = onAbort(options.signal, (signal) => this.#stop(call, abortedError(signal)));
    });
    try {
      return (await done) as PromiseSettledResult<T>[];
    } finally {
      stopListening();
    }
  }

  /** As `run`, for rows that all must do. @returns their results. */
  async runAll<Row, T>(rows: readonly Row[], job: Job<Model, Row, T>, options: RunOptions = {}): Promise<T[]> {
    const outcomes = await this.run(rows, job, { ...options, settled: false });
    return outcomes.map(fulfilled);
  }

  /** Refuses further rows and those that wait, with `DISPOSED`. Those under way go on. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    const calls = new Set([...this.#groups.values()].flatMap((group) => group.rows.map(({ call }) => call)));
    for (const call of calls) this.#stop(call, disposedError());
  }

  #add(
    rows: readonly unknown[],
    job: AnyJob<Model>,
    options: RunOptions,
    resolve: Call<Model>["resolve"],
    reject: Call<Model>["reject"],
  ): Call<Model> {
    const missing = rows.length;
    const state = { results: [], missing, begun: false, stopped: undefined, batches: new Set<Batch<Model>>() };
    const call: Call<Model> = { job, options, callId: runningCall(), resolve, reject, ...state };
    const key = job.key ?? Symbol("alone");
    const group = this.#groups.get(key) ?? { job, rows: [], passedOver: false };
    this.#groups.set(key, group);
    const since = performance.now();
    for (const [index, row] of rows.entries()) group.rows.push({ row, index, call, order: this.#order++, since });
    this.#beginSoon();
    return call;
  }

  #beginSoon(): void {
    if (this.#groups.size > 0) this.#next ??= setImmediate(() => this.#begin());
  }

  /** Gives free replicas work. */
  #begin(): void {
    this.#next = undefined;
    clearTimeout(this.#timer);
    while (this.#replicas.hasRoom(this.#batchesInHand)) {
      const rows = this.#oldestBatch();
      if (rows.length === 0) break;
      void this.#runBatch(rows);
    }
  }

  /** Takes the batch of the row that waits longest; none where those that wait are waiting for others. */
  #oldestBatch(): WaitingRow<Model>[] {
    const now = performance.now();
    const awaitsOthers = this.#areOthersComing();
    let oldest: [key: unknown, group: Group<Model>] | undefined;
    let soonest = Number.POSITIVE_INFINITY;
    const held: Group<Model>[] = [];
    for (const [key, group] of this.#groups) {
      const first = group.rows[0] as WaitingRow<Model>;
      const isFull = group.job.key === undefined || group.rows.length >= group.job.limit;
      const others =
        awaitsOthers && !group.passedOver ? Math.max(first.since, this.#roomSince) + LONGEST_ARRIVAL_MS : 0;
      const left = isFull ? 0 : Math.max(first.since + this.#maxDelayMs, others) - now;
      if (left > 0) {
        soonest = Math.min(soonest, left);
        held.push(group);
      } else if (oldest === undefined || first.order < (oldest[1].rows[0] as WaitingRow<Model>).order) {
        oldest = [key, group];
      }
    }
    if (oldest === undefined) {
      if (soonest < Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#begin(), Math.ceil(soonest));
      return [];
    }
    const [key, group] = oldest;
    for (const other of held) other.passedOver = true;
    group.passedOver = false;
    const { limit, splits = false } = group.job;
    const share = splits ? Math.ceil(group.rows.length / Math.max(1, this.#replicas.idle)) : limit;
    const rows = group.rows.splice(0, Math.min(limit, share));
    if (group.rows.length === 0) this.#groups.delete(key);
    return rows;
  }

  /** Whether calls have been admitted whose rows are not here yet and will be in a moment. */
  #areOthersComing(): boolean {
    if (this.#admission === undefined) return false;
    const here = new Set<Ticket>();
    for (const { rows } of this.#groups.values()) {
      for (const { call } of rows) {
        const { ticket } = call.options;
        if (ticket?.isComing) here.add(ticket);
      }
    }
    return this.#admission.coming > here.size;
  }

  async #runBatch(rows: readonly WaitingRow<Model>[]): Promise<void> {
    const batch = { rows, controller: new AbortController() };
    const { job } = (rows[0] as WaitingRow<Model>).call;
    const letGo = rows.map(({ row }) => job.hold?.(row));
    for (const { call } of rows) {
      call.batches.add(batch);
      if (!call.begun) call.options.ticket?.begin();
      call.begun = true;
    }
    try {
      await this.#runRows(rows, job, batch.controller.signal);
    } finally {
      for (const release of letGo) release?.();
      for (const call of new Set(rows.map((row) => row.call))) {
        call.batches.delete(batch);
        if (call.stopped && call.batches.size === 0) call.reject(call.stopped.error);
      }
    }
  }

  /** Never throws: what fails is the rows' error. */
  async #runRows(rows: readonly WaitingRow<Model>[], job: AnyJob<Model>, signal: AbortSignal): Promise<void> {
    const { retry = true, callsBack = false, kind = "texts" } = job;
    try {
      const given = rows.map(({ row }) => row);
      const run = () => this.#replicas.onLeastBusy((model) => job.work(model, given, signal), { retry, signal });
      const ofCalls = rows.map(({ call, since }) => ({ callId: call.callId, since }));
      const values = await traceBatch(kind, ofCalls, run).finally(() => this.#count(rows.length));
      for (const [i, row] of rows.entries()) this.#settle(row, { status: "fulfilled", value: values[i] });
    } catch (error) {
      const wanted = rows.filter(({ call }) => !call.stopped);
      const ofOneRow = !callsBack && !this.#replicas.isFailure(error) && !this.#isEnd(error);
      if (rows.length > 1 && ofOneRow) {
        for (const row of wanted) if (!row.call.stopped) await this.#runRows([row], job, signal);
      } else {
        for (const row of wanted) this.#settle(row, { status: "rejected", reason: error });
      }
    }
  }

  #count(rows: number): void {
    this.#batches++;
    this.#rows += rows;
    this.#lastBatchEndedAt = performance.now();
  }

  #settle({ call, index }: WaitingRow<Model>, result: PromiseSettledResult<unknown>): void {
    if (call.stopped) return;
    if (result.status === "rejected" && (!call.options.settled || this.#isEnd(result.reason))) {
      this.#stop(call, result.reason);
      return;
    }
    call.results[index] = result;
    if (--call.missing === 0) call.resolve(call.results);
  }

  /** Ends a call before all its rows have: those that wait are withdrawn, and a batch that nobody wants any more is stopped. */
  #stop(call: Call<Model>, error: unknown): void {
    if (call.stopped) return;
    call.stopped = { error };
    for (const [key, group] of this.#groups) {
      group.rows = group.rows.filter((row) => row.call !== call);
      if (group.rows.length === 0) this.#groups.delete(key);
    }
    for (const { rows, controller } of call.batches) {
      if (rows.every((row) => row.call.stopped)) controller.abort(call.options.signal?.reason);
    }
    if (!(call.job.callsBack && call.batches.size > 0)) call.reject(error);
  }

  /** Whether an error ends a whole call. `DISPOSED` is a row's own where it is one of its tensors that was disposed. */
  #isEnd(error: unknown): boolean {
    if (!(error instanceof NeuronBlipError)) return false;
    return error.code === "ABORTED" || (error.code === "DISPOSED" && this.#closed);
  }
}

function disposedError(): NeuronBlipError {
  return new NeuronBlipError("DISPOSED", "This model has been disposed. Load it again with fromPretrained.");
}
