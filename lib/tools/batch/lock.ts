/** Keeps two processes from one output. */
import { randomBytes } from "node:crypto";
import { type FileHandle, link, open, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { codeOf } from "../../errors.js";
import { beginOf, place, runs } from "../../util/processes.js";
import { isWhole } from "../../util/values.js";

/** Another process has the output. It may end, so that trying again may help. */
export class InUseError extends Error {}

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly place: string;
  /** When the process began, since numbers come again: in a container nearly always 1. */
  readonly begin: string;
}

interface Held {
  readonly owner: Partial<Owner>;
  /** What it says of that, which tells it from the next owner's; numbers of files come again. */
  readonly text: string;
  readonly mtimeMs: number;
}

/** How often an owner shows that it lives. */
const BEAT_MS = 5000;
/** How long a lock of another host or container is watched for that: nobody there can be asked. */
const WATCH_MS = 30_000;
const LOOK_MS = 1000;

/** A file that names its owner, who touches it while it lives. */
export class Lock implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #ino: number;
  readonly #timer: NodeJS.Timeout;

  private constructor(path: string, file: FileHandle, ino: number) {
    this.#path = path;
    this.#file = file;
    this.#ino = ino;
    const beat = () => {
      const now = new Date();
      file.utimes(now, now).catch(() => {});
    };
    this.#timer = setInterval(beat, BEAT_MS).unref();
  }

  /**
   * Takes a lock, also of an owner that died.
   * @param watchMs how long a lock of another host or container is watched.
   * @throws InUseError where its owner lives; the system's error.
   */
  static async take(path: string, signal?: AbortSignal, watchMs = WATCH_MS): Promise<Lock> {
    for (;;) {
      const file = await open(path, "wx").catch((error) => {
        if (codeOf(error) !== "EEXIST") throw error;
      });
      if (file) {
        const owner: Owner = { pid: process.pid, host: hostname(), place, begin: beginOf(process.pid) };
        await file.writeFile(`${JSON.stringify(owner)}\n`);
        return new Lock(path, file, (await file.stat()).ino);
      }
      const held = await read(path);
      if (held === undefined) continue;
      if (await lives(path, held, watchMs, signal)) throw inUse(path, held.owner);
      await takeAway(path, held);
    }
  }

  /** Checks that it is still ours: who was stopped for long was taken for dead. @throws InUseError */
  async check(): Promise<void> {
    const there = await stat(this.#path).catch(() => undefined);
    if (there?.ino !== this.#ino) throw inUse(this.#path, (await read(this.#path))?.owner ?? {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const isOurs = await this.check().then(
      () => true,
      () => false,
    );
    if (isOurs) await rm(this.#path, { force: true }).catch(() => {});
    await this.#file.close();
  }
}

async function lives(
  path: string,
  { owner, mtimeMs, text }: Held,
  watchMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const { pid } = owner;
  if (owner.place === place && isWhole(pid, 1)) return runs(pid) && beginOf(pid) === owner.begin;
  const until = performance.now() + watchMs;
  while (performance.now() < until) {
    await wait(Math.min(LOOK_MS, watchMs), undefined, signal && { signal });
    const now = await read(path);
    if (now === undefined || now.text !== text) return false; // it was given back, and maybe taken by a third
    if (now.mtimeMs !== mtimeMs) return true;
  }
  return false;
}

/** Opens it each time: of a network's files that alone asks the server. */
async function read(path: string): Promise<Held | undefined> {
  const file = await open(path, "r").catch((error) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  if (!file) return undefined;
  try {
    const { mtimeMs } = await file.stat();
    const text = await file.readFile("utf8");
    return { owner: ownerOf(text), text, mtimeMs };
  } finally {
    await file.close();
  }
}

/** Returns what a lock says, which may be nothing where its owner died early. */
function ownerOf(text: string): Partial<Owner> {
  try {
    const owner: unknown = JSON.parse(text);
    return typeof owner === "object" && owner !== null ? owner : {};
  } catch {
    return {};
  }
}

/** Removes a dead owner's lock, and no other: between a look and a removal it may have become that of a third. */
async function takeAway(path: string, { text }: Held): Promise<void> {
  const aside = `${path}.${randomBytes(4).toString("hex")}`;
  await rename(path, aside).catch((error) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  const taken = await read(aside);
  if (taken && taken.text !== text) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

function inUse(path: string, { pid, host }: Partial<Owner>): InUseError {
  const who = pid === undefined ? "Another process" : `Process ${pid} on ${host}`;
  return new InUseError(`${who} is writing this output: it has "${path}".`);
}
