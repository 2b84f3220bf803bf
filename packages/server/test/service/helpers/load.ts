/** Load on a server from a process of its own. */
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Child } from "./child.js";

export interface LoadPlan {
  /** Where to post the picture. */
  readonly url: string;
  readonly arrivals: { readonly callers: number } | { readonly perSecond: number };
  /** For how long at most. */
  readonly seconds: number;
  readonly seed?: number;
  readonly keepAlive?: boolean;
}

/** What became of a request. */
export interface Sent {
  /** When it was sent, in ms since the load began. */
  readonly at: number;
  /** How much later than it should have been. */
  readonly lagMs: number;
  /** Until its answer was there. */
  readonly ms: number;
  /** 0: none came. */
  readonly status: number;
  /** Of an error. */
  readonly code: string;
  readonly retryAfter?: string;
}

export interface LoadResult {
  /** For how long requests were sent. */
  readonly ms: number;
  readonly sent: readonly Sent[];
}

export type LoadMessage = LoadPlan | "stop";

/** A process that puts load on servers, as planned, one plan after the other. */
export class LoadProcess implements AsyncDisposable {
  readonly #child: Child;

  constructor() {
    const script = fileURLToPath(new URL("load-process.ts", import.meta.url));
    this.#child = new Child(process.execPath, ["--import", "tsx", script], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
  }

  /** Puts load on a server, and waits for all replies. */
  run(plan: LoadPlan): Promise<LoadResult> {
    const { process: child, exit } = this.#child;
    const result = once(child, "message").then(([result]) => result as LoadResult);
    child.send(plan);
    const ended = exit.then(() => {
      throw new Error(`the load's process ended: ${this.#child.output}`);
    });
    return Promise.race([result, ended]);
  }

  /** Sends no more requests of the plan that it runs. */
  stop(): void {
    this.#child.process.send("stop");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Puts load on a server, and waits until it is over. */
export async function load(plan: LoadPlan): Promise<LoadResult> {
  await using running = new LoadProcess();
  return await running.run(plan);
}
