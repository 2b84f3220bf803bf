import { setMaxListeners } from "node:events";
import { Worker } from "node:worker_threads";
import { messageOf, throwIfAborted } from "../errors.js";
import type { DecodeReply, DecodeRequest } from "./decode-worker.js";
import type { RawImage } from "./raw-image.js";

/** Enough for the JPEG decoder, which keeps an object for every 64 samples, at the default limit of pixels. */
const HEAP_MB = 4096;

/** How long a picture may take before its decoder is taken to be lost in damaged data: many times what any picture needs. */
const defaultTimeLimit = (pixels: number) => 10_000 + pixels / 100;

/**
 * Decodes pictures on a worker thread, one after another, so that the event loop does not wait for them.
 * The thread starts with the first picture and does not keep the process alive; where it dies (out of memory, say) or does
 * not come to an end, the picture that it was busy with fails and the next one starts another.
 */
export class Decoder {
  readonly #timeLimit: (pixels: number) => number;
  #worker: Worker | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  /** @param timeLimit milliseconds that a picture of so many pixels may take */
  constructor(timeLimit = defaultTimeLimit) {
    this.#timeLimit = timeLimit;
  }

  /**
   * @param file the encoded bytes, whose declared size has been checked; given away, and empty afterwards
   * @param pixels the declared size
   * @param signal fails the call at once; a picture that still waits for its turn is not decoded
   * @throws Error that says what is wrong with the file; NeuronBlipError `ABORTED`
   */
  decode(file: Uint8Array<ArrayBuffer>, pixels: number, maxPixels: number, signal?: AbortSignal): Promise<RawImage> {
    const result = this.#queue.then(() => {
      throwIfAborted(signal);
      return this.#request({ file, maxPixels }, [file.buffer], this.#timeLimit(pixels));
    });
    this.#queue = result.catch(() => {});
    return signal ? untilAborted(result, signal) : result;
  }

  #request(request: DecodeRequest, transfer: ArrayBuffer[], limit: number): Promise<RawImage> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    worker.ref();
    return new Promise<RawImage>((resolve, reject) => {
      let lastChance: NodeJS.Immediate | undefined;
      const settle = (finish: () => void) => {
        clearTimeout(timer);
        clearImmediate(lastChance);
        worker.off("message", onMessage).off("error", onError).off("exit", onExit);
        worker.unref();
        finish();
      };
      const fail = (reason: string, cause?: unknown) => {
        if (this.#worker === worker) this.#worker = undefined;
        settle(() => reject(new Error(reason, { cause })));
      };
      const onMessage = (reply: DecodeReply) =>
        settle(() => ("image" in reply ? resolve(reply.image) : reject(new Error(reply.reason))));
      const onError = (error: unknown) => fail(`the decoder failed (${messageOf(error)})`, error);
      const onExit = () => fail("the decoder's thread ended");
      const giveUp = () => {
        fail(`the decoder did not come to an end in ${Math.round(limit / 1000)} s`);
        void worker.terminate();
      };
      // After a turn of the event loop: where something else kept it busy, the reply may be there, unread.
      const timer = setTimeout(() => {
        lastChance = setImmediate(giveUp);
      }, limit);
      worker.on("message", onMessage).on("error", onError).on("exit", onExit);
      worker.postMessage(request, transfer);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./decode-worker.js", import.meta.url), {
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

/** The work's outcome, or `ABORTED` as soon as the signal is. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => {
      try {
        throwIfAborted(signal);
      } catch (error) {
        reject(error);
      }
    };
    onAbort();
    // One signal may be that of many pictures, which Node 20 would warn about.
    if (signal instanceof EventTarget) setMaxListeners(0, signal);
    signal.addEventListener("abort", onAbort);
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
