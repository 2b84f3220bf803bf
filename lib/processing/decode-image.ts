import { messageOf } from "../errors.js";
import { codecs, explainTruncation, type readImageHeader } from "./image-size.js";
import type { StoredImage } from "./raw-image.js";
import { decodeWithSharp } from "./sharp-decoder.js";

/** Which decoders may be used: sharp where it is installed and gives Pillow's pixels, else jimp's; or jimp's alone. */
export type ImageDecoder = "sharp" | "jimp";

export interface DecodeImageOptions {
  /** What the declared size was held to. */
  readonly maxPixels: number;
  readonly decoder: ImageDecoder;
  /** Told once where sharp is installed but cannot be used. */
  readonly warn: (message: string) => void;
}

/**
 * Decodes a picture. It keeps its thread busy: see DecoderPool.
 * @param file the encoded bytes, whose declared size has been checked; may be overwritten
 * @param header what readImageHeader returned
 * @returns the picture as it is stored, not yet turned by its EXIF orientation
 * @throws Error that says what is wrong with the file
 */
export async function decodeImage(
  file: Buffer,
  { format, ...header }: ReturnType<typeof readImageHeader>,
  { maxPixels, decoder, warn }: DecodeImageOptions,
): Promise<StoredImage> {
  const { width, height, orientation } = header;
  const rgb = decoder === "jimp" ? undefined : await trySharp(file, format, header, { maxPixels, warn });
  if (rgb !== undefined) return { data: rgb, width, height, channels: 3, orientation };
  let pixels: Uint8Array;
  try {
    pixels = await codecs[format].decode(file, header, maxPixels);
  } catch (error) {
    const reason = explainTruncation(error, format, file);
    // Decoders throw strings, too.
    if (reason !== error) throw reason;
    const text = error instanceof Error ? error.message : String(error);
    throw new Error(/^(?:it|its|the) /.test(text) ? text : `the ${format.toUpperCase()} data is damaged (${text})`, {
      cause: error,
    });
  }
  if (pixels.length !== width * height * 4) {
    throw new Error(`the ${format.toUpperCase()} data does not have the size that its header declares`);
  }
  return { data: pixels, width, height, channels: 4, orientation };
}

/** Where sharp objects to a file, jimp's decoders say what is wrong with it, or decode it: sharp fails at any warning. */
async function trySharp(...args: Parameters<typeof decodeWithSharp>): Promise<Uint8Array | undefined> {
  try {
    return await decodeWithSharp(...args);
  } catch (error) {
    const [, format] = args;
    if (format !== "webp") return undefined;
    throw new Error(`the WebP data is damaged (${messageOf(error).split("\n")[0]})`, { cause: error });
  }
}
