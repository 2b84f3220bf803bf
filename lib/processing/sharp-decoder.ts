/** Decoding by sharp (libvips), where it is installed, with the same pixels as Pillow's. */
import { codeOf, messageOf } from "../errors.js";
import type { ImageFormat, ImageHeader } from "./formats/codec.js";

/** The part of sharp that is used: sharp's own types would be needed by everyone who compiles against this package. */
interface Sharp {
  (file: Uint8Array, options: object): Sharp;
  metadata(): Promise<{ space?: string; depth?: string }>;
  toColourspace(space: string): Sharp;
  removeAlpha(): Sharp;
  raw(): Sharp;
  toBuffer(options: { resolveWithObject: true }): Promise<{
    data: Buffer;
    info: { width: number; height: number; channels: number };
  }>;
}

/** The first version with all the options below. */
const LEAST_VERSION = [0, 33] as const;

const SHARP_FORMATS: ReadonlySet<ImageFormat> = new Set(["jpeg", "png", "webp"]);
/** CMYK would be converted by a colour profile, 16 bits by another rule than Pillow's. */
const PILLOW_SPACES: ReadonlySet<string> = new Set(["srgb", "b-w", "rgb"]);

let loading: Promise<Sharp | undefined> | undefined;

/**
 * Decodes a picture with sharp.
 * @param file the encoded bytes, whose declared size has been checked; left as they are
 * @param options `warn` is told once where sharp is installed but cannot be used
 * @returns packed RGB, as stored; undefined where sharp is not installed or would not give Pillow's pixels
 * @throws Error where sharp finds anything wrong with the file
 */
export async function decodeWithSharp(
  file: Buffer,
  format: ImageFormat,
  { width, height }: ImageHeader,
  { maxPixels, warn }: { readonly maxPixels: number; readonly warn: (message: string) => void },
): Promise<Uint8Array | undefined> {
  if (!SHARP_FORMATS.has(format)) return undefined;
  loading ??= loadSharp(warn);
  const sharp = await loading;
  if (sharp === undefined) return undefined;
  const options = {
    failOn: "warning",
    ignoreIcc: true,
    limitInputPixels: Math.min(Math.ceil(maxPixels), Number.MAX_SAFE_INTEGER),
    sequentialRead: true,
    autoOrient: false,
  };
  const { space, depth } = await sharp(file, options).metadata();
  if (depth !== "uchar" || !PILLOW_SPACES.has(space ?? "")) return undefined;
  const decoding = sharp(file, options).removeAlpha().toColourspace("srgb").raw();
  const { data, info } = await decoding.toBuffer({ resolveWithObject: true });
  if (info.width !== width || info.height !== height || info.channels !== 3) {
    throw new Error("it does not have the size that its header declares");
  }
  return data;
}

async function loadSharp(warn: (message: string) => void): Promise<Sharp | undefined> {
  try {
    const { default: sharp } = (await import("sharp")) as unknown as {
      default: Sharp & { versions?: { sharp?: string } };
    };
    const [major = 0, minor = 0] = (sharp.versions?.sharp ?? "").split(".").map(Number);
    if (major > LEAST_VERSION[0] || minor >= LEAST_VERSION[1]) return sharp;
    const version = sharp.versions?.sharp ?? "of an unknown version";
    warn(`Pictures are decoded by jimp: sharp ${version} is too old; ${LEAST_VERSION.join(".")} or newer is needed.`);
  } catch (error) {
    const missing = codeOf(error) === "ERR_MODULE_NOT_FOUND";
    const reason = messageOf(error).split("\n")[0];
    if (!missing) warn(`Pictures are decoded by jimp: sharp is installed but does not load (${reason}).`);
  }
  return undefined;
}
