import { applyOrientation } from "./formats/exif.js";
import { codecs, explainTruncation, readImageHeader } from "./image-size.js";
import type { RawImage } from "./raw-image.js";

/**
 * Decodes a picture and turns it by its EXIF orientation, once. It keeps its thread busy: see `DecodeWorker`.
 * @param file the encoded bytes, whose declared size has been checked; may be overwritten
 * @throws Error that says what is wrong with the file
 */
export async function decodeImage(file: Buffer, maxPixels: number): Promise<RawImage> {
  const { format, ...header } = readImageHeader(file);
  const { width, height, orientation } = header;
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
  return { ...applyOrientation(pixels, width, height, orientation), channels: 4 };
}
