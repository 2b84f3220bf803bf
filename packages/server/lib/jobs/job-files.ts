import { constants } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import type { ByteShare } from "../limits/byte-budget.js";
import { collect, tooLarge } from "../limits/collect.js";
import { Problem } from "../problem.js";

/** Reads the files of jobs, from one directory and no other. */
export class JobFiles {
  readonly #root: string | undefined;
  readonly #maxBytes: number;

  /** @param root undefined: no job's file is read. */
  constructor(root: string | undefined, maxBytes: number) {
    this.#root = root;
    this.#maxBytes = maxBytes;
  }

  /**
   * Reads a file.
   * @param path absolute, or relative to the root; symbolic links are followed first, and must not lead out of it.
   * @param share counts its bytes.
   * @throws Problem `INVALID_INPUT`, `BODY_TOO_LARGE`, `BUSY`; `PICTURE_UNREACHABLE` where the disk does not give it now.
   */
  async read(path: string, share: ByteShare): Promise<Buffer> {
    if (this.#root === undefined) {
      throw new Problem("INVALID_INPUT", "Files are not read here: the worker was started without --files-root.");
    }
    const root = await realpath(this.#root);
    try {
      const real = await inRoot(root, path);
      // Not through a link that has been put there since, and not waiting for a pipe's other end.
      const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        await checkSame(file, real, root, path);
        return await this.#readWhole(file, share);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw problemOfFile(error);
    }
  }

  async #readWhole(file: FileHandle, share: ByteShare): Promise<Buffer> {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Problem("INVALID_INPUT", "The picture's file is no file.");
    if (stats.size > this.#maxBytes) throw tooLarge(this.#maxBytes);
    // It may grow meanwhile.
    return collect(file.createReadStream({ autoClose: false }), this.#maxBytes, share);
  }
}

/** Follows a path's links. @throws Problem `INVALID_INPUT` where they lead out of the root. */
async function inRoot(root: string, path: string): Promise<string> {
  const real = await realpath(resolve(root, path));
  const inside = relative(root, real);
  if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw outside();
  return real;
}

/** Checks that what was opened is what the path leads to, still: one of its directories may have become a link. */
async function checkSame(file: FileHandle, real: string, root: string, path: string): Promise<void> {
  const [opened, now] = [await file.stat(), await inRoot(root, path)];
  const found = await stat(now);
  if (now !== real || found.ino !== opened.ino || found.dev !== opened.dev) throw outside();
}

function outside(): Problem {
  return new Problem("INVALID_INPUT", "The picture's file is not in the worker's --files-root.");
}

/** A path that leads nowhere is the job's fault; anything else may pass. */
function problemOfFile(error: unknown): Problem {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"].includes(code)) {
    return new Problem("INVALID_INPUT", "The picture's file is not there.", { cause: error });
  }
  return new Problem("PICTURE_UNREACHABLE", `The picture's file cannot be read: ${code || "unknown"}.`, {
    cause: error,
  });
}
