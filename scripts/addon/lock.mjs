// Keeps two processes from building in one directory at once.
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Runs an action while holding a lock file; waits where another process holds it.
 * @template T
 * @param {string} path the lock file
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export async function withLock(path, action) {
  let told = false;
  while (!take(path)) {
    if (!told) console.log(`neuron-blip: waiting for another build (process ${holder(path) || "unknown"})`);
    told = true;
    await sleep(500);
  }
  const release = () => rmSync(path, { force: true });
  const interrupted = () => process.exit(130);
  process.once("exit", release);
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    return await action();
  } finally {
    process.off("exit", release).off("SIGINT", interrupted).off("SIGTERM", interrupted);
    release();
  }
}

/**
 * @param {string} path
 * @returns {boolean} whether the lock is now this process's
 */
function take(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
  }
  const pid = holder(path);
  // A process that was killed leaves its lock behind. One without a number is just being written, unless it is old.
  if (pid > 0 ? !isRunning(pid) : age(path) > 10_000) rmSync(path, { force: true });
  return false;
}

/** @param {string} path */
function holder(path) {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0;
  }
}

/**
 * @param {string} path
 * @returns {number} milliseconds since a file was written; 0 where it is gone
 */
function age(path) {
  const written = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return written === undefined ? 0 : Date.now() - written;
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}
