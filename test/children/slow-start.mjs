/** Preloaded: holds up the start of worker threads, as reading their modules from a slow disk does. */
import { isMainThread } from "node:worker_threads";

if (!isMainThread) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10_000);
