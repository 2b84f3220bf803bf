import { performance } from "node:perf_hooks";
import type { NeuronBlip } from "neuron-blip";

/** Where calls wait and no batch has ended for so long, in ms, something is stuck. */
const STALLED_AFTER_MS = 30_000;
const LOOKED_EVERY_MS = 1000;

/** Whether a server can take requests. */
export class ServerState {
  readonly #blip: NeuronBlip;
  readonly #timer: NodeJS.Timeout;
  /** When nothing waited last: before that, no batch had to end. */
  #idleAt: number;
  #isDraining = false;

  constructor(blip: NeuronBlip) {
    this.#blip = blip;
    this.#idleAt = performance.now();
    this.#timer = setInterval(() => this.#look(), LOOKED_EVERY_MS).unref();
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Makes the server unready from now on: what comes is still served, until it is closed. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Says why the process should be replaced; undefined where it need not be. */
  get whyDead(): string | undefined {
    const { inUse, reloading } = this.#blip.stats().replicas;
    return inUse + reloading === 0 ? "every replica was given up" : undefined;
  }

  /** Says why no requests should come now; undefined where they may. */
  get whyUnready(): string | undefined {
    this.#look();
    if (this.#isDraining) return "the server ends";
    const { replicas, lastBatchEndedAt = 0 } = this.#blip.stats();
    if (replicas.inUse === 0) return "no replica is in use";
    const since = Math.max(lastBatchEndedAt, this.#idleAt);
    if (performance.now() - since > STALLED_AFTER_MS) return "calls wait, and no batch has ended for a while";
    return undefined;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (this.#blip.stats().callsWaiting === 0) this.#idleAt = performance.now();
  }
}
