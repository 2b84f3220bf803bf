/** The way from whatever a caller gives as a picture to a file's bytes or to pixels. */
import { URL } from "node:url";
import { types } from "node:util";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { BlobLike, FileHandleLike, ImageSource, SourceOptions } from "../processing/image-source.js";
import type { PixelImage } from "../processing/raw-image.js";
import { untilAborted } from "../util/concurrency.js";
import { oneLine, shown } from "../util/values.js";
import { DEFAULT_MAX_BYTES, DEFAULT_TIME_LIMIT_MS } from "./arriving-bytes.js";
import { kindOf } from "./describe-source.js";
import { checkPixels, readSharpOutput } from "./given-pixels.js";
import { DEFAULT_MAX_PIXELS } from "./image-size.js";
import { asSource, copyBytes, ownFile, type PictureFile } from "./picture-file.js";
import { type AddressOptions, readAddress, readFileHandle } from "./read-address.js";
import { isSharp, readSharp } from "./read-sharp.js";
import { isNodeStream, isResponse, isWebStream, readResponse, readStream } from "./read-stream.js";

export type OpenedPicture = PictureFile | PixelImage;

export interface OpenOptions extends SourceOptions {
  readonly maxPixels?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export function isFile(picture: OpenedPicture): picture is PictureFile {
  return "bytes" in picture;
}

/**
 * Reads a picture: a file's bytes, in memory of their own, or pixels, in the caller's memory. Bytes in memory are copied before
 * it returns, so that the caller's buffer may change or go away.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no picture or was read before, `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `ABORTED`
 */
export async function openPicture(source: ImageSource, options: OpenOptions): Promise<OpenedPicture> {
  const limits = { ...checkSourceOptions(options), signal: options.signal, timeLimitMs: DEFAULT_TIME_LIMIT_MS };
  try {
    return await open(source, limits);
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    // An object whose properties throw, say.
    const reason = oneLine(messageOf(error), 300);
    throw new NeuronBlipError("INVALID_INPUT", `The picture, ${kindOf(source)}, cannot be read: ${reason}.`, {
      cause: error,
    });
  }
}

/** How pictures may come, and how large: checked, with the defaults. @throws NeuronBlipError `INVALID_INPUT` */
export function checkSourceOptions({
  maxBytes = DEFAULT_MAX_BYTES,
  maxPixels = DEFAULT_MAX_PIXELS,
  fetch,
  files = true,
}: SourceOptions & { readonly maxPixels?: number | undefined }): {
  maxBytes: number;
  maxPixels: number;
  fetch: SourceOptions["fetch"];
  files: boolean;
} {
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
  return { maxBytes, maxPixels, fetch, files };
}

function open(
  source: ImageSource,
  options: AddressOptions & { maxPixels: number },
): OpenedPicture | Promise<OpenedPicture> {
  if (typeof source === "string") return readAddress(source, options);
  if (typeof source !== "object" || source === null) throw noPicture(source);
  const bytes = bytesOf(source);
  if (bytes) return bytes;
  if (isSharp(source)) return readSharp(source, options);
  if ("bitmap" in source) return checkPixels({ ...source.bitmap, channels: 4 }, "The Jimp image's bitmap");
  if ("data" in source && "info" in source) return readSharpOutput(source);
  if ("data" in source && "width" in source && "height" in source) return checkPixels(source, "The picture");
  if ("href" in source && typeof source.href === "string") return readUrl(source.href, options);
  if (isResponse(source)) return named("The picture in the Response", (name) => readResponse(source, name, options));
  if (isBlob(source)) return readBlob(source, options);
  if (isWebStream(source)) return named("The picture in the stream", (name) => readStream(source, name, options));
  if (isFileHandle(source)) return readFileHandle(source, options);
  if (isNodeStream(source)) return named("The picture in the stream", (name) => readStream(source, name, options));
  if ("buffer" in source && !ArrayBuffer.isView(source)) {
    const upload = typeof source.buffer === "object" && source.buffer !== null ? bytesOf(source.buffer) : undefined;
    if (upload) return upload;
    throw invalid(`The picture in { buffer } must be a Buffer or Uint8Array, not ${kindOf(source.buffer)}.`);
  }
  throw noPicture(source);
}

/**
 * A picture that is bytes in memory as it is now, for its owner may change it before its turn comes: a source of our own. Other
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

/** A file in memory: a copy of it, unless it is ours. Undefined for what is no bytes. */
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

/** A URL object's address, as the URL standard writes it: an object of another kind must not pass for what it is not. */
function readUrl(href: string, options: AddressOptions): Promise<PictureFile> {
  if (!URL.canParse(href)) throw invalid(`The picture's URL "${oneLine(href)}" is not valid.`);
  const url = new URL(href);
  if (!["http:", "https:", "file:", "data:"].includes(url.protocol)) {
    throw invalid(
      `The picture's URL "${oneLine(href)}" is of ${oneLine(url.protocol, 30)}, which is not read here: pass its bytes.`,
    );
  }
  return readAddress(url.href, options);
}

function isBlob(value: object): value is BlobLike {
  return "arrayBuffer" in value && typeof value.arrayBuffer === "function" && "size" in value;
}

async function readBlob(blob: BlobLike, { signal }: AddressOptions): Promise<PictureFile> {
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
  return (
    "fd" in value &&
    ["stat", "read"].every((method) => typeof (value as Record<string, unknown>)[method] === "function")
  );
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
