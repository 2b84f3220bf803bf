/** What a run reads: JSON Lines, or a directory of pictures. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { messageOf, NeuronBlipError, throwIfAborted } from "../../errors.js";
import { BatchError } from "./batch-error.js";
import { linesOf } from "./lines.js";
import { type BadRequest, type Request, readRequest } from "./request.js";

export interface BatchInput {
  readonly isDirectory: boolean;
  /** Of all lines, or of all pictures' names. */
  readonly sha256: string;
  /** How many there are. */
  readonly count: number;
  /** What cannot be a picture by its name, in a directory. */
  readonly leftOut: number;
  /** Reads them from the beginning, in order. */
  requests(): AsyncIterable<Request | BadRequest>;
}

/** Bytes of a line: a picture of more than 20 MB in base64 is none that a line should hold. */
const LONGEST_LINE = 32 * 2 ** 20;
const READ_AT_ONCE = 2 ** 20;
const PICTURE = /\.(jpe?g|png|webp|gif|tiff?|avif|bmp)$/i;
const BLANK = /^[\s\ufeff]*$/;

/**
 * Looks through an input once: a run that is begun again has to know that it is the same.
 * @throws BatchError for what cannot be read, and for a file that is no JSON Lines; NeuronBlipError `ABORTED`.
 */
export async function openInput(path: string, signal?: AbortSignal): Promise<BatchInput> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) return await openDirectory(path);
    if (!stats.isFile()) throw new BatchError(`"${path}" is neither a file nor a directory.`);
    return await openJsonLines(path, signal);
  } catch (error) {
    if (error instanceof BatchError || error instanceof NeuronBlipError) throw error;
    throw new BatchError(`The input "${path}" cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}

async function openDirectory(path: string): Promise<BatchInput> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
  const names = files
    .map((file) => relative(path, join(file.parentPath, file.name)).replaceAll(sep, "/"))
    .filter((name) => PICTURE.test(name))
    .sort();
  if (names.length === 0) throw new BatchError(`The directory "${path}" has no pictures.`);
  async function* requests(): AsyncGenerator<Request, void> {
    for (const id of names) yield { id, picture: join(path, id), questions: undefined, options: {}, size: 0 };
  }
  const sha256 = createHash("sha256").update(names.join("\0")).digest("hex");
  return { isDirectory: true, sha256, count: names.length, leftOut: files.length - names.length, requests };
}

async function openJsonLines(path: string, signal: AbortSignal | undefined): Promise<BatchInput> {
  const hash = createHash("sha256");
  async function* hashed(): AsyncGenerator<Buffer, void> {
    for await (const piece of readPieces(path)) {
      throwIfAborted(signal);
      hash.update(piece);
      yield piece;
    }
  }
  let count = 0;
  for await (const { bytes } of linesOf(hashed(), LONGEST_LINE)) {
    if (isBlank(bytes)) continue;
    // An array, a table or a picture would fail line by line.
    if (count++ === 0 && bytes !== undefined && !/^[\s\ufeff]*\{/.test(bytes.toString("utf8", 0, 100))) {
      throw new BatchError(
        `"${path}" is no JSON Lines: it does not begin with an object, {"picture": …}, on one line.`,
      );
    }
  }
  const directory = dirname(path);
  async function* requests(): AsyncGenerator<Request | BadRequest, void> {
    let number = 0;
    for await (const { bytes } of linesOf(readPieces(path), LONGEST_LINE)) {
      number++;
      if (isBlank(bytes)) continue;
      if (bytes) yield readRequest(number === 1 ? withoutMark(bytes) : bytes, number, directory);
      else yield { id: number, error: tooLong(number), size: 0 };
    }
  }
  return { isDirectory: false, sha256: hash.digest("hex"), count, leftOut: 0, requests };
}

function readPieces(path: string): AsyncIterable<Buffer> {
  return createReadStream(path, { highWaterMark: READ_AT_ONCE });
}

function isBlank(line: Buffer | undefined): boolean {
  return line !== undefined && line.length < 100 && BLANK.test(line.toString("utf8"));
}

/** Leaves out the mark of byte order, which some programs put before a text. */
function withoutMark(line: Buffer): Buffer {
  return line.subarray(0, 3).equals(Buffer.from("\ufeff")) ? line.subarray(3) : line;
}

function tooLong(number: number): NeuronBlipError {
  return new NeuronBlipError(
    "INVALID_INPUT",
    `Line ${number} has more than ${LONGEST_LINE} bytes: name its picture by file or url instead.`,
  );
}
