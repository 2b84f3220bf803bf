import { clearImmediate, clearTimeout, setImmediate, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import { abortedError, messageOf } from "../errors.js";
import type { ImageDecoder } from "../processing/raw-image.js";
import { onAbort } from "../util/concurrency.js";
import { packageFile } from "../util/package-file.js";
import type { DecodeThreadData, WorkReply, WorkRequest } from "./decode-worker.js";
import { ThreadState } from "./thread-state.js";

/** Enough for jimp's JPEG decoder, which keeps an object for every 64 samples, at the most pixels that it is given. */
const HEAP_MB = 2048;

/**
 * What a thread may take to start and to load its decoder, which is no picture's fault: out of the archives of Plug'n'Play, on a busy host, it
 * takes ten seconds.
 */
const START_MS = 60_000;

/** What an aborted picture's decoder may still take to come to its end: most do, and starting a thread costs more. */
const GRACE_MS = 50;

export interface RunOptions {
  /** The picture's size, where it is known. */
  readonly pixels?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called, more than once maybe, when sharp has no part in it any more. */
  readonly onSharpDone: () => void;
  /** Called once when the thread has done with it, or has ended, be it long after the call. */
  readonly onFree: () => void;
}

/**
 * A worker thread that decodes pictures, one at a time. It does not keep the process alive but while it is waited for. A picture
 * that is late, or whose call is aborted, fails at once, and its decoder is ended by ending the thread; unless it is inside sharp,
 * which nothing interrupts: ending the thread would wait for it. The thread is left alone then until it returns.
 */
export class DecodeThread {
  readonly #timeLimit: (pixels: number) => number;
  readonly #worker: Worker;
  readonly #state = new Int32Array(new SharedArrayBuffer(4));
  #isUsable = true;
  #isReady = false;

  /**
   * @param timeLimit milliseconds that a picture of so many pixels may take, once the thread is ready; 0 for reading a header
   * @param decoder what it loads ahead of its first picture
   */
  constructor(timeLimit: (pixels: number) => number, decoder: ImageDecoder) {
    this.#timeLimit = timeLimit;
    this.#worker = new Worker(packageFile("images/decode-worker.js"), {
      name: "neuron-blip decoder",
      execArgv: [],
      workerData: { state: this.#state, decoder } satisfies DecodeThreadData,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    // Between requests nobody else listens, and an unheard error would be an uncaught one.
    this.#worker.on("error", () => {});
    this.#worker.on("message", ({ kind }: WorkReply) => {
      if (kind === "ready") this.#isReady = true;
    });
    this.#worker.on("exit", () => {
      this.#isUsable = false;
    });
    this.#worker.unref();
  }

  /** Whether it has not ended, and is not about to. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /** Ends the thread, which must not be inside sharp. */
  end(): void {
    this.#isUsable = false;
    void this.#worker.terminate();
  }

  /**
   * @returns the last reply, which is no error; that of an error that has a code is returned for the caller to read
   * @throws Error that says what is wrong with the file, or became of the thread; NeuronBlipError `ABORTED`
   */
  run(
    request: WorkRequest,
    transfer: readonly ArrayBuffer[],
    { pixels = 0, signal, onSharpDone, onFree }: RunOptions,
  ): Promise<WorkReply> {
    const worker = this.#worker;
    const clock = new Clock((limit) => {
      abandon(new Error(`the decoder did not come to an end in ${Math.round(limit / 1000)} s`), 0);
    });
    let stop = () => {};
    let ending: NodeJS.Timeout | undefined;
    let decide: ((outcome: WorkReply | Error) => void) | undefined;
    const outcome = new Promise<WorkReply>((resolve, reject) => {
      decide = (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome));
    });
    /** The call ends; the thread may go on. */
    const settle = (result: WorkReply | Error) => {
      clock.stop();
      stop();
      worker.unref();
      decide?.(result);
      decide = undefined;
    };
    /** The thread ends its work, or itself. */
    const free = () => {
      clearTimeout(ending);
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      onSharpDone();
      onFree();
    };
    const abandon = (reason: Error, graceMs: number) => {
      if (decide === undefined) return;
      const isInSharp = Atomics.exchange(this.#state, 0, ThreadState.abandoned) === ThreadState.inSharp;
      settle(reason);
      if (isInSharp) return;
      ending = setTimeout(() => this.end(), graceMs).unref();
    };
    const onMessage = (reply: WorkReply) => {
      if (reply.kind === "ready") {
        if (decide) clock.start(this.#timeLimit(pixels));
      } else if (reply.kind === "header") {
        if (decide) clock.start(this.#timeLimit(reply.width * reply.height));
      } else if (reply.kind === "warning") warnOnce(reply.message, reply.code);
      else if (reply.kind === "sharp done") onSharpDone();
      else {
        free();
        settle(reply.kind === "error" && reply.code === undefined ? new Error(reply.reason) : reply);
      }
    };
    const onError = (error: unknown) => {
      settle(new Error(`the decoder failed (${messageOf(error)})`, { cause: error }));
    };
    const onExit = () => {
      free();
      settle(new Error("the decoder's thread ended"));
    };
    Atomics.store(this.#state, 0, ThreadState.interruptible);
    worker.ref();
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    try {
      worker.postMessage(request, transfer);
    } catch (error) {
      free();
      worker.unref();
      throw error;
    }
    clock.start(this.#isReady ? this.#timeLimit(pixels) : START_MS);
    stop = onAbort(signal, (signal) => abandon(abortedError(signal), GRACE_MS));
    return outcome;
  }
}

/** Calls back when a time is over. */
class Clock {
  readonly #giveUp: (limit: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #lastChance: NodeJS.Immediate | undefined;

  constructor(giveUp: (limit: number) => void) {
    this.#giveUp = giveUp;
  }

  /** From now on so many milliseconds. */
  start(limit: number): void {
    this.stop();
    // After a turn of the event loop: where something else kept it busy, the reply may be there, unread.
    this.#timer = setTimeout(() => {
      this.#lastChance = setImmediate(() => this.#giveUp(limit));
    }, limit);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#lastChance);
  }
}

const warned = new Set<string>();

/** Every thread finds the same. */
function warnOnce(message: string, code: string): void {
  if (!warned.has(code)) process.emitWarning(message, { type: "NeuronBlipWarning", code });
  warned.add(code);
}
