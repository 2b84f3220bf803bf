import { setTimeout as delay } from "node:timers/promises";
import { NeuronBlipError, throwIfAborted } from "../errors.js";
import { onAbort } from "./abort.js";

/** What happens to replicas; the arguments of each event's listeners. */
export interface ReplicaEvents {
  /** A replica was taken out of use; its calls go on with others. */
  replicaFailed: [event: { replica: number; error: Error }];
  /** It will be loaded again after a pause. */
  replicaReloading: [event: { replica: number; attempt: number; delayMs: number }];
  /** It is in use again. */
  replicaReady: [event: { replica: number }];
}

export interface Recovery<Model> {
  /** Whether an error means that the replica must not be used again. */
  isFailure(error: unknown): boolean;
  /** Loads a replica's successor. */
  reload(replica: number): Promise<Model>;
  emit<Name extends keyof ReplicaEvents>(name: Name, ...event: ReplicaEvents[Name]): void;
  /** The pause before the first attempt to load again, in ms; doubled after each that fails, up to a minute. */
  delayMs: number;
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
}

const LONGEST_DELAY_MS = 60_000;
/** How long a failed replica may take to end the calls in its hands before its successor is loaded. */
const LONGEST_DISPOSAL_MS = 10_000;
/** Where every replica is out and has failed to load so many times, calls wait no longer. */
const PATIENCE = 4;

/**
 * Spreads work over replicas: each piece goes at once to the one with the least in hand; BatchQueue decides when. A replica that
 * fails is taken out, its work is done once more by another, and it is loaded again in the background.
 */
export class Replicas<Model extends AsyncDisposable> {
  readonly #slots: readonly Slot<Model>[];
  readonly #recovery: Recovery<Model> | undefined;
  readonly #recovering = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #roomListeners: (() => void)[] = [];
  #waiting: (() => void)[] = [];
  #lastFailure: unknown;

  constructor(models: readonly Model[], recovery?: Recovery<Model>) {
    this.#slots = models.map((model, replica) => ({ replica, model, busy: 0, alive: true, failedAttempts: 0 }));
    this.#recovery = recovery;
  }

  get size(): number {
    return this.#slots.length;
  }

  /** Any replica, to ask what they have in common. */
  get one(): Model {
    return (this.#slots[0] as Slot<Model>).model;
  }

  /**
   * @throws what the work throws; the replica's failure, where another failed too or none came back; `ABORTED`.
   */
  async onLeastBusy<T>(work: (model: Model) => Promise<T>, { retry = true, signal }: WorkOptions = {}): Promise<T> {
    for (let failures = 0; ; ) {
      const slot = this.#leastBusy();
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
        if (!this.#recovery?.isFailure(error)) throw error;
        this.#takeOut(slot, model, error);
        failures++;
        if (!retry || failures === 2) throw error;
      } finally {
        slot.busy--;
        this.#tellOfRoom();
      }
    }
  }

  /** Whether an error says that a replica is out of use, and nothing of the work that met it. */
  isFailure(error: unknown): boolean {
    return this.#recovery?.isFailure(error) ?? false;
  }

  /**
   * Whether work can begin now on a replica that has less than `most` pieces in hand. It can, too, where every replica is out:
   * `onLeastBusy` then waits for one, or says that none comes back.
   */
  hasRoom(most: number): boolean {
    const slot = this.#leastBusy();
    return slot === undefined || slot.busy < most;
  }

  /** How many replicas in use have nothing in hand. */
  get idle(): number {
    return this.#slots.filter(({ alive, busy }) => alive && busy === 0).length;
  }

  /** Calls back whenever there may be more room: a piece of work has ended, a replica is in use again or was given up. */
  onRoom(listener: () => void): void {
    this.#roomListeners.push(listener);
  }

  /** Frees every replica, after what is being loaded again has been. */
  async dispose(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await Promise.all(this.#recovering);
    await Promise.all(this.#slots.map(({ model }) => model[Symbol.asyncDispose]()));
  }

  #leastBusy(): Slot<Model> | undefined {
    const [first, ...others] = this.#slots.filter((slot) => slot.alive);
    return first && others.reduce((least, other) => (other.busy < least.busy ? other : least), first);
  }

  /** Waits for a replica to come back where all are out. @throws the last failure, where none does in good time; `ABORTED`. */
  async #oneInUse(signal: AbortSignal | undefined): Promise<void> {
    // Attempts to load again do not keep the process alive; a call that waits for them does, as any call.
    const alive = setInterval(() => {}, LONGEST_DELAY_MS);
    const stopListening = onAbort(signal, () => this.#wake());
    try {
      while (!this.#leastBusy()) {
        throwIfAborted(signal);
        if (this.#closing.signal.aborted) throw new NeuronBlipError("DISPOSED", "This model has been disposed.");
        if (this.#slots.every(({ failedAttempts }) => failedAttempts >= PATIENCE)) throw this.#lastFailure;
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
    } finally {
      clearInterval(alive);
      stopListening();
    }
  }

  #takeOut(slot: Slot<Model>, model: Model, error: unknown): void {
    // Other calls that it had in hand fail too; its successor has nothing to do with them.
    if (!slot.alive || slot.model !== model || this.#closing.signal.aborted) return;
    slot.alive = false;
    this.#lastFailure = error;
    this.#emit("replicaFailed", { replica: slot.replica, error: error as Error });
    const recovering: Promise<void> = this.#recover(slot).finally(() => this.#recovering.delete(recovering));
    this.#recovering.add(recovering);
  }

  async #recover(slot: Slot<Model>): Promise<void> {
    const recovery = this.#recovery as Recovery<Model>;
    const { signal } = this.#closing;
    // A core's memory may not hold both.
    await Promise.race([
      Promise.resolve(slot.model[Symbol.asyncDispose]()).catch(() => {}),
      delay(LONGEST_DISPOSAL_MS, undefined, { ref: false }),
    ]);
    let delayMs = recovery.delayMs;
    for (let attempt = 1; !signal.aborted; attempt++) {
      this.#emit("replicaReloading", { replica: slot.replica, attempt, delayMs });
      await delay(delayMs, undefined, { ref: false, signal }).catch(() => {});
      if (signal.aborted) return;
      try {
        slot.model = await recovery.reload(slot.replica);
        slot.alive = true;
        slot.failedAttempts = 0;
        this.#wake();
        this.#emit("replicaReady", { replica: slot.replica });
        return;
      } catch (error) {
        this.#lastFailure = error;
        slot.failedAttempts++;
        this.#wake();
        delayMs = Math.min(2 * delayMs, LONGEST_DELAY_MS);
      }
    }
  }

  /** Later, so that a listener that throws is an uncaught error, as any listener's, and does not end the recovery. */
  #emit<Name extends keyof ReplicaEvents>(name: Name, ...event: ReplicaEvents[Name]): void {
    queueMicrotask(() => this.#recovery?.emit(name, ...event));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
    this.#tellOfRoom();
  }

  #tellOfRoom(): void {
    for (const listener of this.#roomListeners) listener();
  }
}
