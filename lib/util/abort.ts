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
  allowListeners(signal);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}

/** One signal may be that of many calls, which Node 20 would warn about. */
function allowListeners(signal: AbortSignal): void {
  try {
    setMaxListeners(0, signal);
  } catch {
    // A polyfill's, which does not count them.
  }
}

/** A signal that is aborted with either of two. Not AbortSignal.any, which takes Node's own alone. */
export function either(
  one: AbortSignal | undefined,
  other: AbortController,
): { signal: AbortSignal; stop: () => void } {
  const stop = onAbort(one, () => other.abort(one?.reason));
  return { signal: other.signal, stop };
}

/** Some work's outcome, or the error `ABORTED` as soon as the signal is aborted; the work goes on. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = onAbort(signal, () => reject(abortedError(signal)));
    work.then(resolve, reject).finally(stop);
  });
}
