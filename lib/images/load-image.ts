import { readOptions, throwIfAborted } from "../errors.js";
import type { LoadImageOptions, PixelTarget } from "../processing/image-loader.js";
import type { ImageSource } from "../processing/image-source.js";
import type { RawImage } from "../processing/raw-image.js";
import { chosenDecoder, type DecodeOptions, decoderPool } from "./decoder-pool.js";
import { openPicture, type SourceSettings, sourceSettings } from "./open-picture.js";

export type { ImageDecoder, RawImage } from "../processing/raw-image.js";

/** Returns how many pictures are decoded at a time, unless they are very large. */
export function decoderThreads(): number {
  return decoderPool.size;
}

/** Changes how many pictures the process decodes at a time. */
export function setDecoderThreads(count: number): void {
  decoderPool.resize(count);
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
  const settings = loadSettings(given);
  const opened = await openPicture(source, settings);
  throwIfAborted(settings.signal);
  if ("data" in opened) {
    const { channels, ...image } = opened;
    if (channels === 3 || channels === 4) return { ...image, channels };
  }
  return decoderPool.decode(opened, settings);
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
  const settings = loadSettings(given);
  const opened = await openPicture(source, settings);
  throwIfAborted(settings.signal);
  return decoderPool.decode(opened, { ...settings, target });
}

/** A picture of one pixel. */
const TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mNoaGgAAAMEAYF1LgG8AAAAAElFTkSuQmCC";

/** Starts a thread that decodes, with its decoders, so that the first picture does not wait for them. */
export async function warmUpDecoding(): Promise<void> {
  await loadImage(Buffer.from(TINY_PNG, "base64"));
}

const OPTIONS: readonly (keyof LoadImageOptions)[] = ["maxPixels", "decoder", "signal", "maxBytes", "fetch", "files"];

/** Checks the options, before anything is read. */
function loadSettings(given: LoadImageOptions): SourceSettings & DecodeOptions {
  const options = readOptions(given, "loading a picture", OPTIONS);
  const decoder = chosenDecoder(options.decoder);
  throwIfAborted(options.signal);
  return { ...sourceSettings(options), decoder };
}
