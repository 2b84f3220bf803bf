// Not the global ones, which tests replace: jsdom and fake timers.
import { performance } from "node:perf_hooks";
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { abortedError, NeuronBlipError } from "../errors.js";
import { InFlight, onAbort } from "../util/concurrency.js";
import { runningCall, traceBatch, traceCall } from "../util/diagnostics.js";
import type { CallName, Job, RunOptions, Ticket } from "./job.js";
import type { Replicas } from "./replicas.js";
import type { NeuronBlipStats } from "./stats.js";

export interface BatchQueueOptions {
  /** How many batches a replica has in hand at once. Default 1. */
  batchesInHand?: number;
  /** How long rows wait for others to fill their batch, in ms, where a replica is free. Default 0. */
  maxDelayMs?: number;
  /** How many admitted calls may wait for a replica to begin with them. Default: any number. */
  maxLength?: number;
}

/**
 * How long, in ms, rows wait at most for calls that have been admitted and have no rows here yet: those that were answered together
 * ask again together.
 */
const LONGEST_ARRIVAL_MS = 3;

type AnyJob<Model> = Job<Model, unknown, unknown>;

/** One call of `run`. */
interface Call<Model> {
  readonly job: AnyJob<Model>;
  readonly options: RunOptions;
  /** By row: its outcome, where the call is settled; otherwise its value. */
  readonly results: unknown[];
  missing: number;
  /** Why it ended before all its rows did. */
  stopped: { error: unknown } | undefined;
  readonly batches: Set<Batch<Model>>;
  resolve(results: unknown[]): void;
  reject(error: unknown): void;
}

interface WaitingRow<Model> {
  readonly row: unknown;
  readonly index: number;
  readonly call: Call<Model>;
  /** What the call is known by, where anybody listens. */
  readonly callId: string | undefined;
  readonly order: number;
  readonly since: number;
}

interface Batch<Model> {
  readonly job: AnyJob<Model>;
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
 * The calls that wait for a replica, and their rows. When one is free, the row that waits longest goes next, and with it, as far as
 * the batch holds them, those that came later and may run with it. What comes in one turn of the event loop is considered as a whole.
 *
 * Where a batch fails, and not its replica, each row is run again alone, so that none fails for another's fault.
 */
export class BatchQueue<Model extends AsyncDisposable> {
  readonly #replicas: Replicas<Model>;
  readonly #batchesInHand: number;
  readonly #maxDelayMs: number;
  /** How many admitted calls may wait. */
  readonly maxLength: number;
  readonly #admitted = new InFlight("model");
  /** The admitted calls that no replica has begun with. */
  readonly #waiting = new Set<Ticket>();
  #running = 0;
  readonly #groups = new Map<unknown, Group<Model>>();
  /** How many batches have ended, with how many rows, and when the last did. */
  readonly done: Pick<NeuronBlipStats, "batches" | "rows" | "lastBatchEndedAt"> = {
    batches: 0,
    rows: 0,
    lastBatchEndedAt: undefined,
  };
  /** Controllers that no batch has and that were never aborted: a new signal would stay in memory until a whole collection. */
  readonly #controllers: AbortController[] = [];
  #order = 0;
  #closed = false;
  #next: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    replicas: Replicas<Model>,
    { batchesInHand = 1, maxDelayMs = 0, maxLength = Number.POSITIVE_INFINITY }: BatchQueueOptions = {},
  ) {
    this.#replicas = replicas;
    this.#batchesInHand = batchesInHand;
    this.#maxDelayMs = maxDelayMs;
    this.maxLength = maxLength;
    replicas.onChange = () => this.#beginSoon();
  }

  /** Counts the calls that were admitted and that no replica has begun with. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Counts the calls that a replica has begun with and that have not ended. */
  get running(): number {
    return this.#running;
  }

  /**
   * Runs a call, which waits until a replica begins with its first rows or it ends.
   * @throws NeuronBlipError `QUEUE_FULL`; `DISPOSED`; `INVALID_INPUT` for a `callId` that is no string.
   */
  admit<T>({ task, callId }: CallName, call: (ticket: Ticket) => Promise<T>): Promise<T> {
    return this.#admitted.run(() =>
      traceCall(task, callId, async () => {
        if (this.#waiting.size >= this.maxLength) throw queueFull(this.#waiting.size);
        const ticket: Ticket = { isComing: true };
        this.#waiting.add(ticket);
        try {
          return await call(ticket);
        } finally {
          if (!this.#waiting.delete(ticket)) this.#running--;
        }
      }),
    );
  }

  /**
   * Runs rows, in batches that other calls' rows may share.
   * @returns each row's result, in order; with `settled`, its result or error.
   * @throws what the work throws, unless `settled`; NeuronBlipError `ABORTED`, at once, unless the work calls back; `DISPOSED`.
   */
  run<Row, T>(
    rows: readonly Row[],
    job: Job<Model, Row, T>,
    options: RunOptions & { settled: true },
  ): Promise<PromiseSettledResult<T>[]>;
  run<const Rows extends readonly unknown[], T>(
    rows: Rows,
    job: Job<Model, Rows[number], T>,
    options?: RunOptions & { settled?: false | undefined },
  ): Promise<{ -readonly [Index in keyof Rows]: T }>;
  async run(rows: readonly unknown[], job: AnyJob<Model>, options: RunOptions = {}): Promise<unknown[]> {
    const { signal, ticket } = options;
    if (this.#closed) throw disposedError();
    if (signal?.aborted) throw abortedError(signal);
    if (rows.length === 0) return [];
    let stopListening = () => {};
    const results = new Promise<unknown[]>((resolve, reject) => {
      const state = { results: [], missing: rows.length, stopped: undefined, batches: new Set<Batch<Model>>() };
      const call: Call<Model> = { job, options, resolve, reject, ...state };
      const key = job.key ?? Symbol("alone");
      const group = this.#groups.get(key) ?? { job, rows: [], passedOver: false };
      this.#groups.set(key, group);
      const since = performance.now();
      const callId = runningCall();
      for (const [index, row] of rows.entries()) {
        group.rows.push({ row, index, call, callId, order: this.#order++, since });
      }
      stopListening = onAbort(signal, (signal) => this.#stop(call, abortedError(signal)));
    });
    if (ticket) ticket.isComing = false;
    this.#beginSoon();
    try {
      return await results;
    } finally {
      stopListening();
    }
  }

  /**
   * Refuses further calls, waits for those that were admitted, then refuses rows, with `DISPOSED`: those that wait and those that
   * come. Those under way go on.
   */
  close(): Promise<void> {
    return this.#admitted.close(async () => {
      this.#closed = true;
      clearTimeout(this.#timer);
      const calls = new Set([...this.#groups.values()].flatMap((group) => group.rows.map(({ call }) => call)));
      for (const call of calls) this.#stop(call, disposedError());
    });
  }

  /** Gives free replicas work, when all that comes in this turn of the event loop is here. */
  #beginSoon(): void {
    if (this.#groups.size === 0) return;
    this.#next ??= setImmediate(() => {
      this.#next = undefined;
      clearTimeout(this.#timer);
      while (this.#replicas.free(this.#batchesInHand) > 0) {
        const batch = this.#oldestBatch();
        if (batch === undefined) break;
        void this.#runBatch(batch);
      }
    });
  }

  /** Takes the batch of the row that waits longest; none where those that wait are waiting for others. */
  #oldestBatch(): Batch<Model> | undefined {
    const now = performance.now();
    // Those whose calls the last batch answered may ask again, together with those that waited meanwhile.
    const roomSince = this.done.lastBatchEndedAt ?? 0;
    let areOthersComing = false;
    for (const { isComing } of this.#waiting) areOthersComing ||= isComing;
    let oldest: { key: unknown; group: Group<Model>; order: number } | undefined;
    let soonest = Number.POSITIVE_INFINITY;
    const held: Group<Model>[] = [];
    for (const [key, group] of this.#groups) {
      const [first] = group.rows;
      if (first === undefined) continue;
      const { since, order } = first;
      const isFull = group.job.key === undefined || group.rows.length >= group.job.limit;
      const awaitsOthers = areOthersComing && !group.passedOver;
      const others = awaitsOthers ? Math.max(since, roomSince) + LONGEST_ARRIVAL_MS : 0;
      const left = isFull ? 0 : Math.max(since + this.#maxDelayMs, others) - now;
      if (left > 0) {
        soonest = Math.min(soonest, left);
        held.push(group);
      } else if (oldest === undefined || order < oldest.order) {
        oldest = { key, group, order };
      }
    }
    if (oldest === undefined) {
      if (held.length > 0) this.#timer = setTimeout(() => this.#beginSoon(), Math.ceil(soonest));
      return undefined;
    }
    const { key, group } = oldest;
    for (const other of held) other.passedOver = true;
    group.passedOver = false;
    const { job, rows } = group;
    const share = job.splits ? Math.ceil(rows.length / Math.max(1, this.#replicas.free(1))) : job.limit;
    const taken = rows.splice(0, Math.min(job.limit, share));
    if (rows.length === 0) this.#groups.delete(key);
    return { job, rows: taken, controller: this.#controllers.pop() ?? new AbortController() };
  }

  /** Runs a batch, and where that fails maybe each of its rows alone. Never throws: what fails is the rows' error. */
  async #runBatch(batch: Batch<Model>): Promise<void> {
    const { job, controller } = batch;
    const { retry = true, callsBack = false, kind = "texts" } = job;
    const { signal } = controller;
    const options = { retry, signal };
    const letGo: (() => void)[] = [];
    for (const { row, call } of batch.rows) {
      if (job.hold) letGo.push(job.hold(row));
      call.batches.add(batch);
      const { ticket } = call.options;
      if (ticket && this.#waiting.delete(ticket)) this.#running++;
    }
    const attempts = [batch.rows];
    for (const rows of attempts) {
      if (rows.every(({ call }) => call.stopped)) continue; // while others ran
      try {
        const given = rows.map(({ row }) => row);
        const values = await traceBatch(kind, rows, () =>
          this.#replicas.onLeastBusy((model) => job.work(model, given, signal), options),
        );
        for (const [i, row] of rows.entries()) this.#settle(row, { status: "fulfilled", value: values[i] });
      } catch (error) {
        const ofOneRow = !callsBack && !this.#replicas.isFailure(error) && !this.#isEnd(error);
        if (rows.length > 1 && ofOneRow) attempts.push(...rows.map((row) => [row]));
        else for (const row of rows) this.#settle(row, { status: "rejected", reason: error });
      } finally {
        this.done.batches++;
        this.done.rows += rows.length;
        this.done.lastBatchEndedAt = performance.now();
        this.#beginSoon();
      }
    }
    for (const release of letGo) release();
    for (const { call } of batch.rows) {
      call.batches.delete(batch);
      if (call.stopped && call.batches.size === 0) call.reject(call.stopped.error);
    }
    if (!signal.aborted) this.#controllers.push(controller);
  }

  #settle({ call, index }: WaitingRow<Model>, result: PromiseSettledResult<unknown>): void {
    if (call.stopped) return;
    if (result.status === "rejected" && (!call.options.settled || this.#isEnd(result.reason))) {
      this.#stop(call, result.reason);
      return;
    }
    call.results[index] = call.options.settled || result.status === "rejected" ? result : result.value;
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

  /** Says whether an error ends a whole call. `DISPOSED` is a row's own where it is one of its tensors that was disposed. */
  #isEnd(error: unknown): boolean {
    if (!(error instanceof NeuronBlipError)) return false;
    return error.code === "ABORTED" || (error.code === "DISPOSED" && this.#closed);
  }
}

function queueFull(waiting: number): NeuronBlipError {
  return new NeuronBlipError(
    "QUEUE_FULL",
    `${waiting} calls are waiting already, as many as maxQueueLength allows. Try again later, ask less at a time, or ` +
      "load the model with a larger maxQueueLength or more replicas.",
  );
}

function disposedError(): NeuronBlipError {
  return new NeuronBlipError("DISPOSED", "This model has been disposed. Load it again with fromPretrained.");
}
