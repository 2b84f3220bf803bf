import { createHash } from "node:crypto";
import type { PixelImage } from "./processing/raw-image.js";

/** Pixels of so many bytes are copied and hashed at once, in up to 3 ms; preparing them for the model takes longer. */
const SMALL = 4 * 2 ** 20;

/**
 * A copy of pixels that are not many, which their owner cannot change, and the SHA-256 of pixels and size.
 * @returns undefined for many.
 */
export function copySmallPixels(given: PixelImage): { source: PixelImage; digest: string } | undefined {
  const { data, width, height, channels } = given;
  if (data.length > SMALL) return undefined;
  const copy = new Uint8Array(data);
  const digest = createHash("sha256").update(`${width} ${height} ${channels} `).update(copy).digest("hex");
  return { source: { ...given, data: copy }, digest };
}
