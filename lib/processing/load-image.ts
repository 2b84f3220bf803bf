import { setImmediate as nextTurn } from "node:timers/promises";
import { messageOf, NeuronBlipError, throwIfAborted } from "../errors.js";
import type { ImageDecoder } from "./decode-image.js";
import type { PixelTarget } from "./decode-worker.js";
import { type DecodeOptions, DecoderPool } from "./decoder-pool.js";
import { DEFAULT_MAX_PIXELS } from "./image-size.js";
import { type PictureFile, takePictureFile } from "./picture-file.js";
import type { RawImage } from "./raw-image.js";

export type { ImageDecoder } from "./decode-image.js";
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
 * Where a picture comes from: the path or file: URL of a JPEG, PNG, GIF, BMP or TIFF file (with sharp also WebP), the bytes of
 * one, an image of Jimp's, or pixels.
 */
export type ImageSource = string | URL | Uint8Array | ArrayBuffer | JimpLike | PixelSource;

export interface LoadImageOptions {
  /** The most pixels that an encoded picture may declare; default 89,478,485, which is Pillow's limit. */
  readonly maxPixels?: number;
  /**
   * "sharp" decodes by sharp where it is installed and gives Pillow's pixels, else by jimp's decoders; "jimp" by these alone.
   * Default: what the environment variable NEURON_BLIP_DECODER says, else "sharp".
   */
  readonly decoder?: ImageDecoder;
  /** Rejects the call with `ABORTED`, also while the picture waits for its turn to be decoded. */
  readonly signal?: AbortSignal;
}

/** Bytes of the caller's that are copied in one turn of the event loop: a few milliseconds' work. */
const COPIED_AT_ONCE = 2 ** 22;

const pool = new DecoderPool();

/** How many pictures are decoded at a time, unless they are very large. */
export const DECODED_AT_A_TIME = pool.size;

/**
 * Loads a picture as 8-bit RGB or RGBA pixels. Encoded pictures are decoded on a worker thread, after their declared size
 * has been checked, and turned by their EXIF orientation; of several frames or pages the first is taken. A colour profile is
 * not applied.
 *
 * With sharp (an optional package: `npm install sharp`) pixels equal Pillow's for JPEG, PNG and WebP. CMYK JPEG, 16-bit PNG,
 * GIF, BMP and TIFF, and without sharp all formats, are decoded by jimp's decoders (BMP by our own). These give Pillow's pixels
 * for lossless formats, but for 16-bit grayscale, whose high byte is taken where Pillow clips at 255; their JPEG differs from
 * libjpeg-turbo by a few levels (4:2:0 colour by more along edges).
 *
 * @param source pixels and Jimp's images are not copied: leave them as they are until the call that uses them has ended
 * @throws NeuronBlipError `INVALID_IMAGE` (no such file, unknown format, damaged or truncated), `IMAGE_TOO_LARGE`,
 * `INVALID_INPUT` (not a source of pictures), `ABORTED`
 */
export async function loadImage(source: ImageSource, options: LoadImageOptions = {}): Promise<RawImage> {
  const decodeOptions = checkOptions(options);
  const given = readGivenPixels(source);
  if (given !== undefined) return given;
  return afterLoading(source, decodeOptions, (file) => pool.decode(file, decodeOptions));
}

/**
 * Loads a picture and makes the model's pixel values of it, both on a worker thread.
 * @returns [3, height, width]
 * @throws as loadImage; `INVALID_INPUT` for a picture of another size where it is not to be resized
 */
export async function loadPixelValues(
  source: ImageSource,
  target: PixelTarget,
  options: LoadImageOptions = {},
): Promise<Float32Array> {
  const decodeOptions = checkOptions(options);
  const given = readGivenPixels(source);
  if (given === undefined) {
    return afterLoading(source, decodeOptions, (file) => pool.decodeToValues(file, target, decodeOptions));
  }
  const { signal } = options;
  const image = await copyPixels(given);
  throwIfAborted(signal);
  return pool.toValues(image, target, signal);
}

/** A picture of one pixel. */
const TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNoaGgAAAMEAYF1LgG8AAAAAElFTkSuQmCC";

/** Starts a thread that decodes, with its decoders, so that the first picture does not wait for them. */
export async function warmUpDecoding(): Promise<void> {
  await loadImage(Buffer.from(TINY_PNG, "base64"));
}

function checkOptions({ maxPixels = DEFAULT_MAX_PIXELS, decoder, signal }: LoadImageOptions): DecodeOptions {
  if (!(maxPixels > 0)) throw invalid(`maxPixels must be a number above 0, not ${String(maxPixels)}.`);
  const chosen = decoder ?? (process.env.NEURON_BLIP_DECODER || "sharp");
  if (chosen !== "sharp" && chosen !== "jimp") {
    const name = decoder === undefined ? "NEURON_BLIP_DECODER" : "decoder";
    throw invalid(`${name} must be "sharp" (used where it is installed) or "jimp", not ${JSON.stringify(chosen)}.`);
  }
  throwIfAborted(signal);
  return { maxPixels, decoder: chosen, signal };
}

/** Reads a file, or takes its bytes, and works on it. */
async function afterLoading<T>(
  source: ImageSource,
  { signal }: DecodeOptions,
  work: (file: PictureFile) => Promise<T>,
): Promise<T> {
  const file = await takePictureFile(source);
  if (file === undefined) {
    throw invalid(
      "A picture is a path, a file: URL, a Buffer or Uint8Array of an encoded picture, a Jimp image, or pixels as " +
        `{ data, width, height, channels }, not ${source === null ? "null" : `a value of type ${typeof source}`}.`,
    );
  }
  throwIfAborted(signal);
  try {
    const result = await work(file);
    throwIfAborted(signal);
    return result;
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    const reason = messageOf(error);
    const end = reason.endsWith(".") ? "" : ".";
    throw new NeuronBlipError("INVALID_IMAGE", `${file.name} cannot be decoded: ${reason}${end}`, { cause: error });
  }
}

/** The caller's pixels in memory of our own, a slice in each turn of the event loop. */
async function copyPixels(image: RawImage): Promise<RawImage> {
  const { width, height, channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let at = 0; at < data.length; at += COPIED_AT_ONCE) {
    await nextTurn();
    if (image.data.length !== data.length) {
      throw invalid(
        `The picture's pixels are gone: ${image.data.length} of ${data.length} bytes are left. ` +
          "Do not transfer or resize their buffer before the call has ended.",
      );
    }
    data.set(image.data.subarray(at, at + COPIED_AT_ONCE), at);
  }
  return { data, width, height, channels };
}

/** The pixels of a source that is pixels. */
function readGivenPixels(source: ImageSource): RawImage | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  if ("bitmap" in source) return checkPixels({ ...source.bitmap, channels: 4 }, "The Jimp image's bitmap");
  if ("data" in source && "width" in source && "height" in source) return checkPixels(source, "The picture");
  return undefined;
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

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
