import { clearImmediate, clearTimeout, setImmediate, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import { messageOf } from "../errors.js";
import { packageFile } from "../package-file.js";
import type { WorkReply, WorkRequest } from "./decode-worker.js";

/** Enough for the JPEG decoder, which keeps an object for every 64 samples, at the default limit of pixels. */
const HEAP_MB = 4096;

/**
 * A worker thread that decodes pictures, one at a time. It starts with the first one and does not keep the process alive;
 * where it dies (out of memory, say) or does not come to an end, the picture that it was busy with fails and the next one
 * starts another.
 */
export class DecodeThread {
  readonly #timeLimit: (pixels: number) => number;
  #worker: Worker | undefined;

  /** @param timeLimit milliseconds that a picture of so many pixels may take; 0 for reading a header */
  constructor(timeLimit: (pixels: number) => number) {
    this.#timeLimit = timeLimit;
  }

  /**
   * @param pixels the picture's size, where it is known
   * @returns the last reply, which is no error; that of an error that has a code is returned for the caller to read
   * @throws Error that says what is wrong with the file, or became of the thread
   */
  run(request: WorkRequest, transfer: readonly ArrayBuffer[], pixels = 0): Promise<WorkReply> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    worker.ref();
    return new Promise<WorkReply>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      let lastChance: NodeJS.Immediate | undefined;
      const stopClock = () => {
        clearTimeout(timer);
        clearImmediate(lastChance);
      };
      const settle = (finish: () => void) => {
        stopClock();
        worker.off("message", onMessage).off("error", onError).off("exit", onExit);
        worker.unref();
        finish();
      };
      const fail = (reason: string, cause?: unknown) => {
        if (this.#worker === worker) this.#worker = undefined;
        settle(() => reject(new Error(reason, { cause })));
      };
      const startClock = (limit: number) => {
        stopClock();
        const giveUp = () => {
          fail(`the decoder did not come to an end in ${Math.round(limit / 1000)} s`);
          void worker.terminate();
        };
        // After a turn of the event loop: where something else kept it busy, the reply may be there, unread.
        timer = setTimeout(() => {
          lastChance = setImmediate(giveUp);
        }, limit);
      };
      const onMessage = (reply: WorkReply) => {
        if (reply.kind === "header") startClock(this.#timeLimit(reply.width * reply.height));
        else if (reply.kind === "warning") warnOnce(reply.message);
        else if (reply.kind === "error" && reply.code === undefined) settle(() => reject(new Error(reply.reason)));
        else settle(() => resolve(reply));
      };
      const onError = (error: unknown) => fail(`the decoder failed (${messageOf(error)})`, error);
      const onExit = () => fail("the decoder's thread ended");
      startClock(this.#timeLimit(pixels));
      worker.on("message", onMessage).on("error", onError).on("exit", onExit);
      worker.postMessage(request, transfer);
    });
  }

  #start(): Worker {
    const worker = new Worker(packageFile("processing/decode-worker.js"), {
      name: "neuron-blip decoder",
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    // Between requests nobody else listens, and an unheard error would be an uncaught one.
    worker.on("error", () => {});
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    return worker;
  }
}

let warned = false;

/** Every thread finds the same. */
function warnOnce(message: string): void {
  if (!warned) process.emitWarning(message, { type: "NeuronBlipWarning", code: "NEURON_BLIP_SHARP" });
  warned = true;
}
