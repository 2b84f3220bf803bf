/** The way from whatever a caller gives as a picture to a file's bytes or to pixels. */
import { type Stats, stat } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath, URL } from "node:url";
import { promisify, types } from "node:util";
import { codeOf, messageOf, NeuronBlipError } from "../errors.js";
import type { BlobLike, FileHandleLike, ImageSource, SourceOptions } from "../processing/image-source.js";
import type { PixelImage } from "../processing/raw-image.js";
import { untilAborted } from "../util/concurrency.js";
import { oneLine, shown } from "../util/values.js";
import { DEFAULT_MAX_BYTES, DEFAULT_TIME_LIMIT_MS } from "./arriving-bytes.js";
import { kindOf } from "./describe-source.js";
import { checkPixels, readSharpOutput } from "./given-pixels.js";
import { DEFAULT_MAX_PIXELS } from "./image-size.js";
import { asSource, copyBytes, ownFile, type PictureFile, shownName } from "./picture-file.js";
import { isSharp, readSharp } from "./read-sharp.js";
import { isNodeStream, isResponse, isWebStream, readResponse, readStream } from "./read-stream.js";
import { fetchFile, readDataUrl, type UrlSettings } from "./read-url.js";

export type OpenedPicture = PictureFile | PixelImage;

/** How pictures may come, and how large. */
export interface SourceSettings extends UrlSettings {
  readonly files: boolean;
  readonly maxPixels: number;
}

const MOST_FILE_BYTES = 2 ** 31 - 1;

/** Not that of node:fs/promises, whose errors keep the frames of all that waits for them. */
const statOf = promisify<string, Stats>(stat);

/**
 * Reads a picture: a file's bytes, in memory of their own, or pixels, in the caller's memory. Bytes in memory are copied before
 * it returns, so that the caller's buffer may change or go away.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no picture or was read before, `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `ABORTED`
 */
export async function openPicture(source: ImageSource, settings: SourceSettings): Promise<OpenedPicture> {
  try {
    return await (typeof source === "string" ? readAddress(source, settings) : openObject(source, settings));
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    // An object whose properties throw, say.
    const reason = oneLine(messageOf(error), 300);
    throw new NeuronBlipError("INVALID_INPUT", `The picture, ${kindOf(source)}, cannot be read: ${reason}.`, {
      cause: error,
    });
  }
}

/** Returns the settings that options say, with the defaults. @throws NeuronBlipError `INVALID_INPUT` */
export function sourceSettings({
  maxBytes = DEFAULT_MAX_BYTES,
  maxPixels = DEFAULT_MAX_PIXELS,
  fetch,
  files = true,
  signal,
}: SourceOptions & { maxPixels?: number | undefined; signal?: AbortSignal | undefined }): SourceSettings {
  if (typeof maxPixels !== "number" || !(maxPixels > 0)) {
    throw invalid(`maxPixels must be a number above 0, not ${shown(maxPixels)}.`);
  }
  if (typeof maxBytes !== "number" || !(maxBytes > 0)) {
    throw invalid(
      `maxBytes must be a number above 0, not ${typeof maxBytes === "number" ? maxBytes : kindOf(maxBytes)}.`,
    );
  }
  if (fetch !== undefined && fetch !== false && typeof fetch !== "function") {
    throw invalid(
      `fetch must be a function as the global fetch, or false, not ${fetch === true ? "true" : kindOf(fetch)}.`,
    );
  }
  if (typeof files !== "boolean") throw invalid(`files must be true or false, not ${kindOf(files)}.`);
  return { maxBytes, maxPixels, fetch, files, signal, timeLimitMs: DEFAULT_TIME_LIMIT_MS };
}

function openObject(
  source: Exclude<ImageSource, string>,
  settings: SourceSettings,
): OpenedPicture | Promise<OpenedPicture> {
  if (typeof source !== "object" || source === null) throw noPicture(source);
  const bytes = bytesOf(source);
  if (bytes) return bytes;
  if (isSharp(source)) return readSharp(source, settings);
  if ("bitmap" in source) return checkPixels({ ...source.bitmap, channels: 4 }, "The Jimp image's bitmap");
  if ("data" in source && "info" in source) return readSharpOutput(source);
  if ("data" in source && "width" in source && "height" in source) return checkPixels(source, "The picture");
  if ("href" in source && typeof source.href === "string") return readUrl(source.href, settings);
  if (isResponse(source)) return named("The picture in the Response", (name) => readResponse(source, name, settings));
  if (isBlob(source)) return readBlob(source, settings);
  if (isWebStream(source)) return named("The picture in the stream", (name) => readStream(source, name, settings));
  if (isFileHandle(source)) return readFileHandle(source, settings);
  if (isNodeStream(source)) return named("The picture in the stream", (name) => readStream(source, name, settings));
  if ("buffer" in source && !ArrayBuffer.isView(source)) {
    const upload = typeof source.buffer === "object" && source.buffer !== null ? bytesOf(source.buffer) : undefined;
    if (upload) return upload;
    throw invalid(`The picture in { buffer } must be a Buffer or Uint8Array, not ${kindOf(source.buffer)}.`);
  }
  throw noPicture(source);
}

/**
 * Reads what a string names.
 * @throws NeuronBlipError `INVALID_IMAGE` where it cannot be read, `IMAGE_TOO_LARGE`, `ABORTED`, `INVALID_INPUT` for what is not
 * read here
 */
async function readAddress(address: string, settings: SourceSettings): Promise<PictureFile> {
  if (address === "") throw invalid("The picture is an empty string, not a path or a URL.");
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(address.slice(0, 40))?.[1]?.toLowerCase();
  if (scheme === "data") return readDataUrl(address, settings);
  const isUrl = scheme === "file" || /^[^:]*:\/\//.test(address.slice(0, 40));
  if (scheme === undefined || !isUrl) return readPath(address, settings);
  if (scheme === "file") return readPath(toPath(address), settings);
  if (scheme === "http" || scheme === "https") return fetchFile(address, settings);
  throw invalid(
    `"${oneLine(address)}" is an address of ${scheme}:, which is not read here. Get it yourself, and pass its bytes or a stream.`,
  );
}

async function readPath(path: string, { files }: SourceSettings): Promise<PictureFile> {
  const name = `The picture "${path}"`;
  if (!files) throw filesRefused(name);
  try {
    // Reading a device or a pipe might never end.
    if (!(await statOf(path)).isFile()) throw new Error("it is not a file");
    const file = await readFile(path);
    // Only memory of its own can change threads: a small Buffer may share Node's pool.
    const { buffer } = file;
    const isWhole = types.isArrayBuffer(buffer) && buffer.byteLength === file.byteLength;
    const bytes = isWhole ? new Uint8Array(buffer) : new Uint8Array(file);
    return { bytes, name };
  } catch (error) {
    throw unreadable(name, error);
  }
}

/** Reads a file that is open, from its beginning. It stays open. */
async function readFileHandle(handle: FileHandleLike, { files }: SourceSettings): Promise<PictureFile> {
  const name = "The picture in the FileHandle";
  if (!files) throw filesRefused(name);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Error("it is not a file");
    if (stats.size > MOST_FILE_BYTES) throw new Error("it is larger than 2 GB");
    const bytes = new Uint8Array(stats.size);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return { bytes: at === bytes.length ? bytes : bytes.slice(0, at), name };
  } catch (error) {
    throw unreadable(name, error);
  }
}

function filesRefused(name: string): NeuronBlipError {
  return invalid(`${shownName(name)} is a file, and the option files: false says that none are read.`);
}

function unreadable(name: string, error: unknown): NeuronBlipError {
  const known: Record<string, string> = {
    ENOENT: "there is no such file",
    ENAMETOOLONG: 'it is too long for a path (pass base64 as a data: URL, or as Buffer.from(text, "base64"))',
  };
  const reason = known[codeOf(error) ?? ""] ?? oneLine(messageOf(error), 300);
  return new NeuronBlipError("INVALID_IMAGE", `${shownName(name)} cannot be read: ${reason}.`, { cause: error });
}

function toPath(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new NeuronBlipError("INVALID_INPUT", `"${oneLine(url)}" names no file: ${oneLine(messageOf(error), 200)}.`, {
      cause: error,
    });
  }
}

/**
 * Copies a picture that is bytes in memory, for its owner may change it before its turn comes: a source of our own. Returns other
 * pictures as they are.
 */
export function snapshotBytes<Source>(source: Source): Source | Uint8Array {
  if (typeof source !== "object" || source === null) return source;
  try {
    const isUpload = "buffer" in source && !ArrayBuffer.isView(source) && !("data" in source);
    const upload: unknown = isUpload ? source.buffer : source;
    const file = typeof upload === "object" && upload !== null ? bytesOf(upload) : undefined;
    return file ? asSource(file) : source;
  } catch {
    return source; // opening it says what is wrong with it
  }
}

/** Copies a file in memory, unless it is ours. Undefined for what is no bytes. */
function bytesOf(source: object): PictureFile | undefined {
  const name = "The picture in the buffer";
  if (types.isUint8Array(source)) return ownFile(source) ?? { bytes: copyBytes(source), name };
  if (types.isDataView(source)) return { bytes: copyBytes(source), name };
  if (types.isAnyArrayBuffer(source)) return { bytes: new Uint8Array(new Uint8Array(source)), name };
  return undefined;
}

async function named(name: string, read: (name: string) => Promise<Uint8Array<ArrayBuffer>>): Promise<PictureFile> {
  return { bytes: await read(name), name };
}

/**
 * Reads what a URL object names, by its address as the URL standard writes it: an object of another kind must not pass for what it
 * is not.
 */
function readUrl(href: string, settings: SourceSettings): Promise<PictureFile> {
  if (!URL.canParse(href)) throw invalid(`The picture's URL "${oneLine(href)}" is not valid.`);
  const url = new URL(href);
  if (!["http:", "https:", "file:", "data:"].includes(url.protocol)) {
    throw invalid(
      `The picture's URL "${oneLine(href)}" is of ${oneLine(url.protocol, 30)}, which is not read here: pass its bytes.`,
    );
  }
  return readAddress(url.href, settings);
}

function isBlob(value: object): value is BlobLike {
  return "arrayBuffer" in value && typeof value.arrayBuffer === "function" && "size" in value;
}

async function readBlob(blob: BlobLike, { signal }: SourceSettings): Promise<PictureFile> {
  const name = "The picture in the Blob";
  let content: ArrayBuffer;
  try {
    content = await untilAborted(blob.arrayBuffer(), signal);
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    const reason = oneLine(messageOf(error), 300);
    throw new NeuronBlipError("INVALID_IMAGE", `${name} cannot be read: ${reason}.`, { cause: error });
  }
  if (!types.isAnyArrayBuffer(content)) throw invalid(`${name} gave ${kindOf(content)} instead of an ArrayBuffer.`);
  return { bytes: new Uint8Array(content), name };
}

function isFileHandle(value: object): value is FileHandleLike {
  return "fd" in value && ["stat", "read"].every((method) => typeof Reflect.get(value, method) === "function");
}

function noPicture(source: unknown): NeuronBlipError {
  return invalid(
    "A picture is a path, a URL (file:, data:, http: or https:), a Buffer or other bytes of an encoded picture, a Blob, a Response, " +
      "a stream, a FileHandle, a Jimp or sharp instance, or pixels as { data, width, height, channels }, " +
      `not ${kindOf(source)}.`,
  );
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
