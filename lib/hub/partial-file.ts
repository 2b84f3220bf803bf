/**
 * A content that is on its way into the cache, in a file of its own beside it: no two writers share one, so that none can spoil
 * another's, nor Python's. The file's name says whose it is; one that its writer has left, or died over, is continued.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "../errors.js";
import { place, runs } from "../util/processes.js";

/** As Python's, so that its tools know it for what is left over. */
const SUFFIX = ".incomplete";
/** Whose it is, and a number that tells one process's apart; or "free". */
const OWNED = /^(?:free|([0-9a-f]{8})-(\d+))-[0-9a-f]{8}$/;
/** A file of another host, or of a process whose number is another's by now, is rubbish after this, in ms. */
const RUBBISH_MS = 24 * 60 * 60 * 1000;

interface Leftover {
  readonly path: string;
  readonly size: number;
}

export class PartialFile {
  readonly #folder: string;
  readonly #etag: string;
  readonly #file: FileHandle;
  #path: string;
  /** How many bytes it has. */
  size: number;

  private constructor(folder: string, etag: string, path: string, file: FileHandle, size: number) {
    this.#folder = folder;
    this.#etag = etag;
    this.#path = path;
    this.#file = file;
    this.size = size;
  }

  /**
   * Opens a file for a content: the largest that nobody writes any more, or a new one.
   * @param most how many bytes the content has.
   */
  static async open(folder: string, etag: string, most: number): Promise<PartialFile> {
    for (const { path } of await leftoversOf(folder, etag, most)) {
      const mine = newPath(folder, etag, `${place}-${process.pid}`);
      // Of two who want it, one can rename it.
      if (!(await rename(path, mine).then(() => true, isGone))) continue;
      const file = await open(mine, "r+");
      return new PartialFile(folder, etag, mine, file, (await file.stat()).size);
    }
    const path = newPath(folder, etag, `${place}-${process.pid}`);
    return new PartialFile(folder, etag, path, await open(path, "wx+"), 0);
  }

  /** Reads what it has, in pieces. */
  async *read(): AsyncGenerator<Uint8Array, void> {
    const piece = Buffer.alloc(Math.min(2 ** 20, Math.max(1, this.size)));
    for (let at = 0; at < this.size; ) {
      const { bytesRead } = await this.#file.read(piece, 0, Math.min(piece.length, this.size - at), at);
      if (bytesRead === 0) {
        this.size = at; // it is shorter by now
        return;
      }
      yield piece.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  /** Adds bytes at the end. */
  async append(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, from, bytes.length - from, this.size);
      from += bytesWritten;
      this.size += bytesWritten;
    }
  }

  /** Lets go of all that it has. */
  async empty(): Promise<void> {
    await this.#file.truncate(0);
    this.size = 0;
  }

  /** Makes it the content: at once, and on the disk before under its name. */
  async finish(): Promise<void> {
    await this.#file.datasync();
    await this.#file.close();
    await rename(this.#path, join(this.#folder, this.#etag));
  }

  /** Leaves it to whoever goes on with it. */
  async leave(): Promise<void> {
    await this.#file.close().catch(() => {});
    if (this.size === 0) return this.#remove();
    const path = newPath(this.#folder, this.#etag, "free");
    await rename(this.#path, path).then(
      () => {
        this.#path = path;
      },
      () => {},
    );
  }

  /** Removes it. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await this.#remove();
  }

  async #remove(): Promise<void> {
    await rm(this.#path, { force: true }).catch(() => {});
  }
}

/** Counts the bytes of a content that an earlier attempt has left. */
export async function bytesLeftOf(folder: string, etag: string, most: number): Promise<number> {
  return (await leftoversOf(folder, etag, most).catch(() => []))[0]?.size ?? 0;
}

/** Removes what attempts at a content have left, where nobody writes it any more. */
export async function sweep(folder: string, etag: string): Promise<void> {
  const leftovers = await leftoversOf(folder, etag, Number.POSITIVE_INFINITY).catch(() => []);
  await Promise.all(leftovers.map(({ path }) => rm(path, { force: true }).catch(() => {})));
}

/** Lists a content's files that no process writes any more, the largest first; removes old ones. */
async function leftoversOf(folder: string, etag: string, most: number): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${etag}.`) || !name.endsWith(SUFFIX)) continue;
    const owner = OWNED.exec(name.slice(etag.length + 1, -SUFFIX.length));
    if (!owner) continue; // Python's
    const path = join(folder, name);
    const stats = await lstat(path).catch(() => undefined);
    if (!stats?.isFile()) continue;
    const [, where, process] = owner;
    const isFree = where === undefined || (where === place && !runs(Number(process)));
    if (isFree && stats.size <= most) found.push({ path, size: stats.size });
    else if (Date.now() - stats.mtimeMs > RUBBISH_MS) await rm(path, { force: true });
  }
  return found.sort((one, other) => other.size - one.size);
}

function newPath(folder: string, etag: string, owner: string): string {
  return join(folder, `${etag}.${owner}-${randomBytes(4).toString("hex")}${SUFFIX}`);
}

/** Takes that a file is not there any more for false, and throws any other error. */
function isGone(error: unknown): false {
  if (codeOf(error) === "ENOENT") return false;
  throw error;
}
