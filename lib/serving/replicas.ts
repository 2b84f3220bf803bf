import { clearInterval, setInterval } from "node:timers";
import { setTimeout as delay } from "node:timers/promises";
import { asError, messageOf, NeuronBlipError, throwIfAborted } from "../errors.js";
import { onAbort } from "../util/concurrency.js";
import { itemAt } from "../util/item-at.js";

/** What happens to replicas; the arguments of each event's listeners. */
export interface ReplicaEvents {
  /** A replica was taken out of use; its calls go on with others. */
  replicaFailed: [event: { replica: number; error: Error }];
  /** It will be loaded again after a pause. */
  replicaReloading: [event: { replica: number; attempt: number; delayMs: number }];
  /** It is in use again. */
  replicaReady: [event: { replica: number }];
  /** It is out for good: it could not be loaded again so many times in a row, or its core was out too often. */
  replicaGivenUp: [event: { replica: number; error: Error }];
  /** No replica is left, or the runtime is lost to this process: every later call fails. A supervisor has to start another process. */
  restartRequired: [event: { error: Error }];
}

/**
 * What an error says of the replica that it came from. "reload": it must not be used before it is loaded again; "reloadOnce": the
 * second time as "coreOut"; "coreOut": so, but what it runs on is presumed broken; "processEnd": no replica of this process can be
 * used again.
 */
export type Failure = "reload" | "reloadOnce" | "coreOut" | "processEnd";

export interface Recovery<Model> {
  /** Tells what an error says of its replica; undefined where it is the work's own. */
  failureOf(error: unknown): Failure | undefined;
  /** Loads a replica's successor. */
  reload(replica: number): Promise<Model>;
  emit<Name extends keyof ReplicaEvents>(name: Name, ...event: ReplicaEvents[Name]): void;
  /** The pause before the first attempt to load again, in ms; doubled after each that fails, up to a minute. */
  delayMs: number;
  /** After so many attempts in a row that failed, a replica is given up. */
  maxAttempts: number;
}

export interface WorkOptions {
  /** Whether work whose replica failed may be done again by another. Default true. */
  retry?: boolean;
  /** Ends the wait for a replica where all are out; once it has begun, work looks at its signal itself. */
  signal?: AbortSignal | undefined;
}

interface Slot<Model> {
  readonly replica: number;
  model: Model;
  busy: number;
  alive: boolean;
  /** To load it again, since it was taken out. */
  failedAttempts: number;
  /** It is not loaded again. */
  givenUp: boolean;
  /** A failure that is the core's only when it repeats has come once. */
  suspect: boolean;
  /** How many times it was out as one that is presumed broken. */
  timesOut: number;
}

const LONGEST_DELAY_MS = 60_000;
/** How long a failed replica may take to end the calls in its hands before its successor is loaded. */
const LONGEST_DISPOSAL_MS = 10_000;
/** Where every replica is out and has failed to load so many times, calls wait no longer. */
const PATIENCE = 4;
/** What is presumed broken is given up when it is out for the time after these: loading again may seem to cure it. */
const MOST_TIMES_OUT = 2;

/**
 * Spreads work over replicas: each piece goes at once to the one with the least in hand; BatchQueue decides when. A replica that
 * fails is taken out, its work is done once more by another, and it is loaded again in the background, until it is given up.
 */
export class Replicas<Model extends AsyncDisposable> {
  readonly #slots: readonly Slot<Model>[];
  readonly #recovery: Recovery<Model>;
  readonly #recovering = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  /** Called when a replica is out of use, is in use again or was given up. */
  onChange: (() => void) | undefined;
  #waiting: (() => void)[] = [];
  #lastFailure: unknown;
  #failures = 0;
  /** What every call gets once none of the replicas can come back. */
  #lost: NeuronBlipError | undefined;

  constructor(models: readonly Model[], recovery: Recovery<Model>) {
    const state = { busy: 0, alive: true, failedAttempts: 0, givenUp: false, suspect: false, timesOut: 0 };
    this.#slots = models.map((model, replica) => ({ replica, model, ...state }));
    this.#recovery = recovery;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** Counts how often a replica was taken out of use. */
  get failures(): number {
    return this.#failures;
  }

  /** Counts the replicas that are in use, are loaded again, and are out for good. */
  get states(): { inUse: number; reloading: number; givenUp: number } {
    const inUse = this.#slots.filter(({ alive }) => alive).length;
    const givenUp = this.#lost ? this.size : this.#slots.filter((slot) => slot.givenUp).length;
    return { inUse, reloading: this.size - inUse - givenUp, givenUp };
  }

  /** Returns any replica, to ask what they have in common. */
  get one(): Model {
    return itemAt(this.#slots, 0).model;
  }

  /**
   * Runs work on the replica with the least to do.
   * @throws what the work throws; the replica's failure, where another failed too or none came back in good time;
   * `NEURON_RESTART_REQUIRED` where none can come back; `ABORTED`.
   */
  async onLeastBusy<T>(work: (model: Model) => Promise<T>, { retry = true, signal }: WorkOptions = {}): Promise<T> {
    for (let failures = 0; ; ) {
      if (this.#lost) throw this.#lost;
      let slot: Slot<Model> | undefined;
      for (const other of this.#slots) if (other.alive && !(slot && slot.busy <= other.busy)) slot = other;
      if (slot === undefined) {
        await this.#oneInUse(signal);
        continue;
      }
      // Nothing is awaited between choosing and beginning: the replica could be taken out meanwhile.
      const { model } = slot;
      slot.busy++;
      try {
        return await work(model);
      } catch (error) {
        const failure = this.#recovery.failureOf(error);
        if (failure === undefined) throw error;
        this.#takeOut(slot, model, failure, error);
        failures++;
        if (!retry || failures === 2 || failure === "processEnd") throw error;
      } finally {
        slot.busy--;
      }
    }
  }

  /** Tells whether an error says that a replica is out of use, and nothing of the work that met it. */
  isFailure(error: unknown): boolean {
    return this.#recovery.failureOf(error) !== undefined;
  }

  /**
   * Counts the replicas that can begin with work now: those in use that have less than `most` pieces in hand. Where every replica
   * is out, one: `onLeastBusy` then waits for it to come back, or says that none does.
   */
  free(most: number): number {
    let inUse = 0;
    let free = 0;
    for (const { alive, busy } of this.#slots) {
      if (alive) inUse++;
      if (alive && busy < most) free++;
    }
    return inUse === 0 ? 1 : free;
  }

  /** Frees every replica, after what is being loaded again has been. */
  async dispose(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await Promise.all(this.#recovering);
    await Promise.all(this.#slots.map(({ model }) => model[Symbol.asyncDispose]()));
  }

  /** Waits for a replica to come back where all are out. @throws the last failure, where none does in good time; `ABORTED`. */
  async #oneInUse(signal: AbortSignal | undefined): Promise<void> {
    // Attempts to load again do not keep the process alive; a call that waits for them does, as any call.
    const alive = setInterval(() => {}, LONGEST_DELAY_MS);
    const stopListening = onAbort(signal, () => this.#wake());
    try {
      while (!this.#slots.some((slot) => slot.alive)) {
        throwIfAborted(signal);
        if (this.#closing.signal.aborted) throw new NeuronBlipError("DISPOSED", "This model has been disposed.");
        if (this.#lost) throw this.#lost;
        const hopeless = this.#slots.every(({ givenUp, failedAttempts }) => givenUp || failedAttempts >= PATIENCE);
        if (hopeless) throw this.#lastFailure;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearInterval(alive);
      stopListening();
    }
  }

  #takeOut(slot: Slot<Model>, model: Model, failure: Failure, error: unknown): void {
    // Other calls that it had in hand fail too; its successor has nothing to do with them.
    if (!slot.alive || slot.model !== model || this.#closing.signal.aborted) return;
    slot.alive = false;
    this.#failures++;
    this.#lastFailure = error;
    this.onChange?.();
    this.#emit("replicaFailed", { replica: slot.replica, error: asError(error) });
    if (this.#endsUse(slot, failure, error)) return;
    const recovering: Promise<void> = this.#recover(slot).finally(() => this.#recovering.delete(recovering));
    this.#recovering.add(recovering);
  }

  /** Says whether a failure is a replica's last: then it is given up, and the process is told of where it was the last replica. */
  #endsUse(slot: Slot<Model>, failure: Failure, error: unknown): boolean {
    if (failure === "processEnd") {
      this.#lose(error, "The Neuron runtime cannot be used in this process any more");
      return true;
    }
    const repeated = failure === "reloadOnce" && slot.suspect;
    slot.suspect ||= failure === "reloadOnce";
    if (failure === "coreOut" || repeated) slot.timesOut++;
    const { maxAttempts } = this.#recovery;
    if (slot.timesOut <= MOST_TIMES_OUT && slot.failedAttempts < maxAttempts) return false;
    slot.givenUp = true;
    this.#emit("replicaGivenUp", { replica: slot.replica, error: asError(error) });
    if (this.#slots.every(({ givenUp }) => givenUp)) this.#lose(error, "Every NeuronCore of this model was given up");
    return true;
  }

  /** Makes every later call fail at once: in a process that goes on as if nothing were, nobody would start another. */
  #lose(cause: unknown, what: string): void {
    if (this.#lost) return;
    this.#lost = new NeuronBlipError(
      "NEURON_RESTART_REQUIRED",
      `${what}: start another process. The last failure: ${messageOf(cause)}`,
      { cause, status: cause instanceof NeuronBlipError ? cause.status : undefined },
    );
    for (const slot of this.#slots) slot.alive = false;
    this.#wake();
    this.#emit("restartRequired", { error: this.#lost });
  }

  async #recover(slot: Slot<Model>): Promise<void> {
    const recovery = this.#recovery;
    const { signal } = this.#closing;
    // A core's memory may not hold both.
    await Promise.race([
      Promise.resolve(slot.model[Symbol.asyncDispose]()).catch(() => {}),
      delay(LONGEST_DISPOSAL_MS, undefined, { ref: false }),
    ]);
    let delayMs = recovery.delayMs;
    for (let attempt = 1; !signal.aborted && !this.#lost; attempt++) {
      this.#emit("replicaReloading", { replica: slot.replica, attempt, delayMs });
      await delay(delayMs, undefined, { ref: false, signal }).catch(() => {});
      if (signal.aborted || this.#lost) return;
      try {
        slot.model = await recovery.reload(slot.replica);
        if (this.#lost) return; // disposed of with the others
        slot.alive = true;
        slot.failedAttempts = 0;
        this.#wake();
        this.#emit("replicaReady", { replica: slot.replica });
        return;
      } catch (error) {
        this.#lastFailure = error;
        slot.failedAttempts++;
        // A load that fails on a broken core is told by its attempts, not as another time that it was out.
        const ends = recovery.failureOf(error) === "processEnd" ? "processEnd" : "reload";
        const isOver = this.#endsUse(slot, ends, error);
        this.#wake();
        if (isOver) return;
        delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS);
      }
    }
  }

  /** Emits an event later, so that a listener's error is an uncaught error, as any listener's, and does not end the recovery. */
  #emit<Name extends keyof ReplicaEvents>(name: Name, ...event: ReplicaEvents[Name]): void {
    queueMicrotask(() => this.#recovery.emit(name, ...event));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
    this.onChange?.();
  }
}
