import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { messageOf, NeuronBlipError, throwIfAborted } from "../errors.js";
import { Decoder } from "./decoder.js";
import { checkPixelLimit, DEFAULT_MAX_PIXELS, readImageHeader } from "./image-size.js";
import type { RawImage } from "./raw-image.js";

export type { RawImage } from "./raw-image.js";

/** Pixels in memory. Without `channels` the length says whether they are RGB or RGBA. */
export interface PixelSource {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly channels?: 3 | 4;
}

/** What Jimp's images have: RGBA pixels. */
export interface JimpLike {
  readonly bitmap: { readonly data: Uint8Array; readonly width: number; readonly height: number };
}

/**
 * Where a picture comes from: the path or file: URL of a JPEG, PNG, GIF, BMP or TIFF file, the bytes of one, an image of
 * Jimp's, or pixels.
 */
export type ImageSource = string | URL | Uint8Array | ArrayBuffer | JimpLike | PixelSource;

export interface LoadImageOptions {
  /** The most pixels that an encoded picture may declare; default 89,478,485, which is Pillow's limit. */
  readonly maxPixels?: number;
  /** Rejects the call with `ABORTED`, also while the picture waits for its turn to be decoded. */
  readonly signal?: AbortSignal;
}

const decoder = new Decoder();

/**
 * Loads a picture as 8-bit RGB or RGBA pixels. Encoded pictures are decoded on a worker thread, after their declared size
 * has been checked, and turned by their EXIF orientation; of several frames or pages the first is taken.
 *
 * Pixels equal Pillow's for lossless formats, but for 16-bit grayscale, whose high byte is taken where Pillow clips at 255.
 * JPEG is decoded by jimp, which differs from libjpeg-turbo by a few levels (4:2:0 colour by more along edges).
 *
 * @param source pixels and Jimp's images are not copied: leave them as they are until the call that uses them has ended
 * @throws NeuronBlipError `INVALID_IMAGE` (no such file, unknown format, damaged or truncated), `IMAGE_TOO_LARGE`,
 * `INVALID_INPUT` (not a source of pictures), `ABORTED`
 */
export async function loadImage(source: ImageSource, options: LoadImageOptions = {}): Promise<RawImage> {
  return (await loadPixels(source, options)).image;
}

/**
 * As loadImage, and says whether the pixels are the caller's own memory or were decoded into memory that only the result
 * refers to.
 */
export async function loadPixels(
  source: ImageSource,
  options: LoadImageOptions = {},
): Promise<{ image: RawImage; isCallersMemory: boolean }> {
  const { maxPixels = DEFAULT_MAX_PIXELS, signal } = options;
  if (!(maxPixels > 0)) throw invalid(`maxPixels must be a number above 0, not ${String(maxPixels)}.`);
  throwIfAborted(signal);
  const given = readGivenPixels(source);
  const image = given ?? (await readFileOrBytes(source, maxPixels, signal));
  throwIfAborted(signal);
  return { image, isCallersMemory: given !== undefined };
}

/** The pixels of a source that is pixels. */
function readGivenPixels(source: ImageSource): RawImage | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  if ("bitmap" in source) return checkPixels({ ...source.bitmap, channels: 4 }, "The Jimp image's bitmap");
  if ("data" in source && "width" in source && "height" in source) return checkPixels(source, "The picture");
  return undefined;
}

async function readFileOrBytes(source: ImageSource, maxPixels: number, signal?: AbortSignal): Promise<RawImage> {
  if (typeof source === "string") {
    if (/^https?:\/\//i.test(source)) throw notAFile(source);
    return decode(await readPicture(source), `The picture "${source}"`, maxPixels, signal);
  }
  if (source instanceof URL) {
    if (source.protocol !== "file:") throw notAFile(source.href);
    const path = fileURLToPath(source);
    return decode(await readPicture(path), `The picture "${path}"`, maxPixels, signal);
  }
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) {
    // A copy, so that the caller's buffer may change or go away, and the decoder may have this one.
    const bytes = source instanceof ArrayBuffer ? new Uint8Array(source) : source;
    return decode(new Uint8Array(bytes), "The picture in the buffer", maxPixels, signal);
  }
  throw invalid(
    `A picture is a path, a file: URL, a Buffer or Uint8Array of an encoded picture, a Jimp image, or pixels as ` +
      `{ data, width, height, channels }, not ${source === null ? "null" : `a value of type ${typeof source}`}.`,
  );
}

async function readPicture(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    // Reading a device or a pipe might never end.
    if (!(await stat(path)).isFile()) throw new Error("it is not a file");
    return new Uint8Array(await readFile(path));
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const reason = missing ? "there is no such file" : messageOf(error);
    throw new NeuronBlipError("INVALID_IMAGE", `The picture "${path}" cannot be read: ${reason}.`, { cause: error });
  }
}

async function decode(
  file: Uint8Array<ArrayBuffer>,
  name: string,
  maxPixels: number,
  signal: AbortSignal | undefined,
): Promise<RawImage> {
  throwIfAborted(signal);
  try {
    const { width, height } = readImageHeader(Buffer.from(file.buffer));
    checkPixelLimit(width, height, maxPixels, name);
    return await decoder.decode(file, width * height, maxPixels, signal);
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    const reason = messageOf(error);
    const end = reason.endsWith(".") ? "" : ".";
    throw new NeuronBlipError("INVALID_IMAGE", `${name} cannot be decoded: ${reason}${end}`, { cause: error });
  }
}

function checkPixels(source: PixelSource, name: string): RawImage {
  const { data, width, height } = source;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw invalid(`${name} needs its pixels as a Uint8Array of 8-bit RGB or RGBA samples.`);
  }
  const validSize = [width, height].every((size) => Number.isInteger(size) && size >= 1 && size < 2 ** 31);
  if (!validSize) throw invalid(`${name} has a size of ${String(width)} x ${String(height)}: not a picture's.`);
  const channels = source.channels ?? data.length / (width * height);
  if ((channels !== 3 && channels !== 4) || data.length !== width * height * channels) {
    throw invalid(
      `${name} of ${width} x ${height} takes ${width * height * 3} bytes of RGB or ${width * height * 4} of RGBA` +
        `${source.channels === undefined ? "" : ` (channels: ${String(source.channels)})`}, not ${data.length}.`,
    );
  }
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels };
}

function notAFile(address: string): NeuronBlipError {
  return invalid(
    `"${address}" is not a file. Fetch it yourself and pass its bytes: Buffer.from(await (await fetch(url)).arrayBuffer()).`,
  );
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
