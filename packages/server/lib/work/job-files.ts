import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { isAbsolute, relative, resolve, sep } from "node:path";
import { tooLarge } from "../limits/collect.js";
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
   * @throws Problem `INVALID_INPUT`, `BODY_TOO_LARGE`; `PICTURE_UNREACHABLE` where the disk does not give it now.
   */
  async read(path: string): Promise<Buffer> {
    if (this.#root === undefined) {
      throw new Problem("INVALID_INPUT", "Files are not read here: the worker was started without --files-root.");
    }
    const root = await realpath(this.#root);
    try {
      const real = await realpath(resolve(root, path));
      const inside = relative(root, real);
      if (inside === "" || inside === ".." || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
        throw new Problem("INVALID_INPUT", "The picture's file is not in the worker's --files-root.");
      }
      // Not through a link that has been put there since, and not waiting for a pipe's other end.
      const file = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        return await this.#readWhole(file);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw problemOfFile(error);
    }
  }

  async #readWhole(file: FileHandle): Promise<Buffer> {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Problem("INVALID_INPUT", "The picture's file is no file.");
    if (stats.size > this.#maxBytes) throw tooLarge(this.#maxBytes);
    return file.readFile();
  }
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
