import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import { abortedError, messageOf, NeuronBlipError } from "../errors.js";
import type { ImageDecoder } from "../processing/raw-image.js";
import { onAbort } from "../util/concurrency.js";
import { packageFile } from "../util/package-file.js";
import type { DecodeThreadData, WorkReply, WorkRequest, WorkResult } from "./decode-worker.js";
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

/** Who waits for a picture, and what its end releases. */
export interface RunOptions {
  readonly signal: AbortSignal | undefined;
  /** Called, maybe more than once, when sharp does not work on it any more. */
  readonly onSharpDone: (() => void) | undefined;
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
  /** Whether it has not ended, and is not about to. */
  isUsable = true;
  #isReady = false;
  /** Takes what the thread replies to the request under way. */
  #onReply: ((reply: WorkReply) => void) | undefined;

  /**
   * Starts the thread.
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
    let end: WorkReply = { kind: "error", reason: "the decoder's thread ended" };
    this.#worker
      .on("message", (reply: WorkReply) => {
        if (reply.kind === "ready") this.#isReady = true;
        this.#onReply?.(reply);
      })
      .on("error", (cause) => {
        end = { kind: "error", reason: `the decoder failed (${messageOf(cause)})`, cause };
      })
      .on("exit", () => {
        this.isUsable = false;
        this.#onReply?.(end);
      })
      .unref();
  }

  /** Ends the thread, which must not be inside sharp. */
  end(): void {
    this.isUsable = false;
    void this.#worker.terminate();
  }

  /**
   * Gives it a picture to work on, whose memory moves to it.
   * @returns the last reply
   * @throws Error that says what is wrong with the file, or became of the thread; NeuronBlipError `ABORTED`, or what the thread threw
   */
  run(request: WorkRequest, { signal, onSharpDone, onFree }: RunOptions): Promise<WorkResult> {
    const { source } = request;
    const [pixels, memory] = "file" in source ? [0, source.file] : [source.width * source.height, source.data];
    return new Promise((resolve, reject) => {
      let isWaitedFor = true;
      let deadline: NodeJS.Timeout | undefined;
      let ending: NodeJS.Timeout | undefined;
      let stop = () => {};
      /** Ends the call; the thread may go on. */
      const settle = (outcome: WorkResult | Error) => {
        isWaitedFor = false;
        clearTimeout(deadline);
        stop();
        this.#worker.unref();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const abandon = (reason: Error, graceMs: number) => {
        if (!isWaitedFor) return;
        const isInSharp = Atomics.exchange(this.#state, 0, ThreadState.abandoned) === ThreadState.inSharp;
        settle(reason);
        if (!isInSharp) ending = setTimeout(() => this.end(), graceMs).unref();
      };
      /** Gives it so many milliseconds from now on. */
      const limit = (ms: number) => {
        clearTimeout(deadline);
        if (!isWaitedFor) return;
        const late = () => abandon(new Error(`the decoder did not come to an end in ${Math.round(ms / 1000)} s`), 0);
        // After a turn of the event loop: where something else kept it busy, the reply may be there, unread.
        const own = setTimeout(() => setImmediate(() => own === deadline && late()), ms);
        deadline = own;
      };
      const onReply = (reply: WorkReply) => {
        if (reply.kind === "ready") limit(this.#timeLimit(pixels));
        else if (reply.kind === "header") limit(this.#timeLimit(reply.width * reply.height));
        else if (reply.kind === "warning") warnOnce(reply.message, reply.code);
        else if (reply.kind === "sharp done") onSharpDone?.();
        else {
          this.#onReply = undefined;
          clearTimeout(ending);
          onFree();
          settle(reply.kind === "error" ? errorOf(reply) : reply);
        }
      };
      Atomics.store(this.#state, 0, ThreadState.interruptible);
      this.#onReply = onReply;
      this.#worker.ref();
      limit(this.#isReady ? this.#timeLimit(pixels) : START_MS);
      try {
        this.#worker.postMessage(request, [memory.buffer as ArrayBuffer]);
        stop = onAbort(signal, (signal) => abandon(abortedError(signal), GRACE_MS));
      } catch (cause) {
        onReply({ kind: "error", reason: messageOf(cause), cause });
      }
    });
  }
}

function errorOf({ code, reason, cause }: WorkReply & { kind: "error" }): Error {
  return code === undefined
    ? new Error(reason, cause === undefined ? undefined : { cause })
    : new NeuronBlipError(code, reason);
}

const warned = new Set<string>();

/** Warns once in a process: every thread finds the same. */
function warnOnce(message: string, code: string): void {
  if (!warned.has(code)) process.emitWarning(message, { type: "NeuronBlipWarning", code });
  warned.add(code);
}
