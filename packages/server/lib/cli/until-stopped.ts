import { setTimeout as delay } from "node:timers/promises";
import type { BlipServer } from "../server.js";

export interface StopOptions {
  /** How long to serve on while unready, so that proxies learn of it before the port closes. */
  readonly drainDelayMs: number;
  /** From the signal on, when to stop whatever is under way. */
  readonly graceMs: number;
  /** Ends the server as a signal of the system does. */
  readonly lost?: AbortSignal;
}

/**
 * Waits for SIGTERM or SIGINT, or for the loss of the model, then ends a server: unready at once, serving on for a while, then
 * closed, with what is under way finished. A second signal ends it at once.
 * @returns whether all requests were answered in time.
 */
export async function untilStopped(server: BlipServer, options: StopOptions): Promise<{ inTime: boolean }> {
  return stop(server, options, await whenSignalled(options.lost));
}

/**
 * Waits for SIGTERM or SIGINT, or for the loss of the model.
 * @returns aborted by a second signal, which wants the end at once.
 */
export async function whenSignalled(lost?: AbortSignal): Promise<AbortSignal> {
  const hardStop = new AbortController();
  await new Promise<void>((resolve) => {
    const signals = ["SIGTERM", "SIGINT"] as const;
    if (lost?.aborted) resolve();
    lost?.addEventListener("abort", () => resolve());
    let isFirst = true;
    for (const signal of signals) {
      process.on(signal, () => {
        if (!isFirst) hardStop.abort();
        isFirst = false;
        resolve();
      });
    }
  });
  return hardStop.signal;
}

/** Ends a server, as `untilStopped` once the signal is there. */
export async function stop(
  { app, context }: BlipServer,
  { drainDelayMs, graceMs }: StopOptions,
  atOnce?: AbortSignal,
): Promise<{ inTime: boolean }> {
  const late = lateSignal(graceMs, atOnce);
  context.state.drain();
  app.log.info("draining");
  await delay(drainDelayMs, undefined, { signal: late }).catch(() => {});
  const closed = app.close();
  const inTime = await inTimeFor(closed, late);
  if (!inTime) app.server.closeAllConnections();
  app.log.info({ inTime }, "stopped");
  return { inTime };
}

/** Makes a signal for when the grace is over, or the end is wanted at once. */
export function lateSignal(graceMs: number, atOnce?: AbortSignal): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(graceMs), ...(atOnce ? [atOnce] : [])]);
}

/** Waits for work to end. @returns whether it did before it was late. */
export function inTimeFor(work: PromiseLike<unknown>, late: AbortSignal): Promise<boolean> {
  const isLate = new Promise<boolean>((resolve) => {
    if (late.aborted) resolve(false);
    late.addEventListener("abort", () => resolve(false), { once: true });
  });
  return Promise.race([work.then(() => true), isLate]);
}
