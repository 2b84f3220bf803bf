import { setMaxListeners } from "node:events";
import { abortedError } from "../errors.js";

/**
 * Calls back once when a signal is aborted, at once where it is already.
 * @returns what ends the waiting for it.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) {
    listener();
    return () => {};
  }
  // One signal may be that of many calls, which Node 20 would warn about.
  setMaxListeners(0, signal);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** Some work's outcome, or the error `ABORTED` as soon as the signal is aborted; the work goes on. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = onAbort(signal, () => reject(abortedError(signal)));
    work.then(resolve, reject).finally(stop);
  });
}
