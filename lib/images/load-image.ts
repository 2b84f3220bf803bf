import { messageOf, NeuronBlipError, readOptions, throwIfAborted } from "../errors.js";
import type { LoadImageOptions, PixelTarget } from "../processing/image-loader.js";
import type { ImageSource } from "../processing/image-source.js";
import type { RawImage } from "../processing/raw-image.js";
import { oneLine } from "../util/values.js";
import { type DecodeOptions, DecoderPool } from "./decoder-pool.js";
import { kindOf } from "./describe-source.js";
import { copyPixels } from "./given-pixels.js";
import { DEFAULT_MAX_PIXELS } from "./image-size.js";
import { isFile, type OpenedPicture, openPicture } from "./open-picture.js";
import type { PictureFile } from "./picture-file.js";

export type { ImageDecoder, RawImage } from "../processing/raw-image.js";

const pool = new DecoderPool();

/** How many pictures are decoded at a time, unless they are very large. */
export function decoderThreads(): number {
  return pool.size;
}

/** Changes how many pictures the process decodes at a time. */
export function setDecoderThreads(count: number): void {
  pool.resize(count);
}

/**
 * Loads a picture as 8-bit RGB or RGBA pixels. Encoded pictures are decoded on a worker thread, after their declared size
 * has been checked, and turned by their EXIF orientation; of several frames or pages the first is taken. A colour profile is
 * not applied. Which decoder takes which kind of file, and why, is in decoder-table.ts.
 *
 * @param source RGB(A) pixels and Jimp's images are not copied: leave them as they are until the call that uses them has ended.
 * Streams and Responses are read to their end.
 * @throws NeuronBlipError `INVALID_IMAGE` (no such file, unknown format, damaged or truncated, did not come), `IMAGE_TOO_LARGE`
 * (pixels or bytes), `INVALID_INPUT` (not a source of pictures, or not one that may be used here), `ABORTED`
 */
export async function loadImage(source: ImageSource, given: LoadImageOptions = {}): Promise<RawImage> {
  const options = readOptions(given, "loading a picture", OPTIONS);
  const decodeOptions = decodeOptionsOf(options);
  const opened = await openPicture(source, options);
  throwIfAborted(options.signal);
  if (isFile(opened)) return orInvalidImage(opened, pool.decode(opened, decodeOptions), options.signal);
  const { channels, ...image } = opened;
  if (channels === 3 || channels === 4) return { ...image, channels };
  return pool.expand(await copyPixels(opened), options.signal);
}

/**
 * Loads a picture and makes the model's pixel values of it, both on a worker thread.
 * @returns [3, height, width]
 * @throws as loadImage; `INVALID_INPUT` for a picture of another size where it is not to be resized
 */
export async function loadPixelValues(
  source: ImageSource,
  target: PixelTarget,
  given: LoadImageOptions = {},
): Promise<Float32Array> {
  const options = readOptions(given, "loading a picture", OPTIONS);
  decodeOptionsOf(options); // what is wrong with them is told before anything is read
  return toPixelValues(await openPicture(source, options), target, options);
}

/**
 * Makes the model's pixel values of a picture that was read, on a worker thread.
 * @param opened given away, where it is a file: its bytes are an empty array afterwards.
 * @returns [3, height, width]
 * @throws as loadPixelValues
 */
export async function toPixelValues(
  opened: OpenedPicture,
  target: PixelTarget,
  options: DecodingOptions,
): Promise<Float32Array> {
  const { signal } = options;
  const decodeOptions = decodeOptionsOf(options);
  if (isFile(opened)) return orInvalidImage(opened, pool.decodeToValues(opened, target, decodeOptions), signal);
  const image = await copyPixels(opened);
  throwIfAborted(signal);
  return pool.toValues(image, target, signal);
}

/** A picture of one pixel. */
const TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNoaGgAAAMEAYF1LgG8AAAAAElFTkSuQmCC";

/** Starts a thread that decodes, with its decoders, so that the first picture does not wait for them. */
export async function warmUpDecoding(): Promise<void> {
  await loadImage(Buffer.from(TINY_PNG, "base64"));
}

const OPTIONS: readonly (keyof LoadImageOptions)[] = ["maxPixels", "decoder", "signal", "maxBytes", "fetch", "files"];

/** How a picture that was read is to be decoded. */
type DecodingOptions = { readonly [Name in "maxPixels" | "decoder" | "signal"]?: LoadImageOptions[Name] | undefined };

function decodeOptionsOf(options: DecodingOptions): DecodeOptions {
  const { maxPixels = DEFAULT_MAX_PIXELS, decoder, signal } = options;
  const chosen: unknown = decoder ?? (process.env.NEURON_BLIP_DECODER || "sharp");
  if (chosen !== "sharp" && chosen !== "jimp") {
    const name = decoder === undefined ? "NEURON_BLIP_DECODER" : "decoder";
    const got = typeof chosen === "string" ? `"${oneLine(chosen, 60)}"` : kindOf(chosen);
    throw invalid(`${name} must be "sharp" (used where it is installed) or "jimp", not ${got}.`);
  }
  throwIfAborted(signal);
  return { maxPixels, decoder: chosen, signal };
}

/** What a file was decoded to; what its decoder says of it becomes `INVALID_IMAGE`. */
async function orInvalidImage<T>(file: PictureFile, decoding: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    const result = await decoding;
    throwIfAborted(signal);
    return result;
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    const reason = oneLine(messageOf(error), 600);
    const end = reason.endsWith(".") ? "" : ".";
    throw new NeuronBlipError("INVALID_IMAGE", `${file.name} cannot be decoded: ${reason}${end}`, { cause: error });
  }
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
