import { createHash } from "node:crypto";
import type { ImageSource, PixelSource } from "./processing/load-image.js";
import { isBytes } from "./values.js";

/** Pixels of so many bytes are copied and hashed at once, in up to 3 ms; preparing them for the model takes longer. */
const SMALL = 4 * 2 ** 20;

/**
 * A copy of pixels that are not many, which their owner cannot change, and the SHA-256 of pixels and size.
 * @returns undefined for many, for files, and for what cannot be a picture: preparing it says why.
 */
export function copySmallPixels(source: ImageSource): { pixels: PixelSource; digest: string } | undefined {
  if (typeof source !== "object" || source === null) return undefined;
  const given: Partial<PixelSource> | null =
    "bitmap" in source ? { ...source.bitmap, channels: 4 } : (source as object);
  const { data, width, height } = given;
  if (!isBytes(data) || data.length > SMALL) return undefined;
  if (!isSize(width) || !isSize(height)) return undefined;
  const channels = given.channels ?? data.length / (width * height);
  if ((channels !== 3 && channels !== 4) || data.length !== width * height * channels) return undefined;
  const copy = new Uint8Array(data);
  const digest = createHash("sha256").update(`${width} ${height} ${channels} `).update(copy).digest("hex");
  return { pixels: { data: copy, width, height, channels }, digest };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
