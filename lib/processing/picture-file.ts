/** Encoded pictures on their way from the caller to the thread that decodes them. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { ImageSource } from "./load-image.js";

/** So many bytes are hashed in one turn of the event loop: about a millisecond's work, and less than copying them would be. */
const SLICE = 2 ** 20;

/** A file's bytes, in memory that no caller can reach, and what errors call the picture. */
export interface PictureFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}

/** The names of files that were read for their digest, by their bytes. */
const names = new WeakMap<Uint8Array, string>();

/**
 * Reads a picture that is a file, or takes the bytes of one, and computes the SHA-256 of its content without holding the event loop.
 * @returns its bytes, which can be the source of one picture to load (they move to the thread that decodes them: the array is
 * empty then), and the digest in hex. Undefined for pixels, and for what cannot be read: loading it says why.
 */
export async function readPictureFile(
  source: ImageSource,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; digest: string } | undefined> {
  let file: PictureFile | undefined;
  try {
    file = await takePictureFile(source);
  } catch {
    return undefined;
  }
  if (file === undefined) return undefined;
  const { bytes, name } = file;
  names.set(bytes, name);
  return { bytes, digest: await sha256(bytes) };
}

/**
 * The file that a source is or names; undefined for a source of another kind.
 * Bytes are copied before it returns, so that the caller's buffer may change or go away.
 * @throws NeuronBlipError `INVALID_IMAGE` where a path cannot be read, `INVALID_INPUT` for an address that is no file's
 */
export async function takePictureFile(source: ImageSource): Promise<PictureFile | undefined> {
  if (typeof source === "string") {
    if (/^https?:\/\//i.test(source)) throw notAFile(source);
    return readPath(source);
  }
  if (source instanceof URL) {
    if (source.protocol !== "file:") throw notAFile(source.href);
    return readPath(fileURLToPath(source));
  }
  if (source instanceof ArrayBuffer) return inBuffer(new Uint8Array(source.slice()));
  if (!(source instanceof Uint8Array)) return undefined;
  const name = names.get(source);
  // Ours already, and nobody else's.
  if (name !== undefined) return { bytes: source as Uint8Array<ArrayBuffer>, name };
  return inBuffer(new Uint8Array(source));
}

function inBuffer(bytes: Uint8Array<ArrayBuffer>): PictureFile {
  return { bytes, name: "The picture in the buffer" };
}

async function readPath(path: string): Promise<PictureFile> {
  try {
    // Reading a device or a pipe might never end.
    if (!(await stat(path)).isFile()) throw new Error("it is not a file");
    const file = await readFile(path);
    // Only memory of its own can change threads: a small Buffer may share Node's pool.
    const whole = file.byteLength === file.buffer.byteLength && file.buffer instanceof ArrayBuffer;
    const bytes = whole ? new Uint8Array(file.buffer as ArrayBuffer) : new Uint8Array(file);
    return { bytes, name: `The picture "${path}"` };
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const reason = missing ? "there is no such file" : messageOf(error);
    throw new NeuronBlipError("INVALID_IMAGE", `The picture "${path}" cannot be read: ${reason}.`, { cause: error });
  }
}

/**
 * In slices, with turns of the event loop in between: WebCrypto, which has threads of its own, copies its input first, all at
 * once, which holds the event loop for longer than any slice does.
 */
async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += SLICE) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + SLICE));
  }
  return hash.digest("hex");
}

function notAFile(address: string): NeuronBlipError {
  return new NeuronBlipError(
    "INVALID_INPUT",
    `"${address}" is not a file. Fetch it yourself and pass its bytes: Buffer.from(await (await fetch(url)).arrayBuffer()).`,
  );
}
