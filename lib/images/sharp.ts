/** The sharp package (libvips), where it is installed. */
import { codeOf, messageOf } from "../errors.js";
import type { DecodeContext, DecodedPixels, ImageHeader } from "./formats/codec.js";
import type { Sharp, SharpPicture } from "./sharp-types.js";

/** The first version with all the options below. */
const LEAST_VERSION = [0, 33] as const;

const SHARP_WARNING = "NEURON_BLIP_SHARP";

let loading: Promise<Sharp | undefined> | undefined;

/**
 * Loads sharp.
 * @param warn told once where sharp is installed but cannot be used
 * @returns undefined where it is not installed, or cannot be used
 */
export function loadSharp(warn: DecodeContext["warn"]): Promise<Sharp | undefined> {
  loading ??= importSharp((message) => warn(message, SHARP_WARNING));
  return loading;
}

async function importSharp(warn: (message: string) => void): Promise<Sharp | undefined> {
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

/** How strict libvips is: "truncated" objects to pixels that are missing, "error" also to what a library calls an error. */
export type FailOn = "truncated" | "error" | "warning";

/** Opens the first frame of a picture as it is stored: no colour profile, not turned. */
export function openWithSharp(
  sharp: Sharp,
  file: Uint8Array,
  failOn: FailOn,
  { maxPixels }: DecodeContext,
): SharpPicture {
  return sharp(file, {
    failOn,
    ignoreIcc: true,
    limitInputPixels: Math.min(Math.ceil(maxPixels), Number.MAX_SAFE_INTEGER),
    sequentialRead: true,
    autoOrient: false,
  });
}

type PictureSize = Pick<ImageHeader, "width" | "height">;

/**
 * Decodes a picture of 8-bit gray or RGB, with or without alpha, which is dropped.
 * @throws Error where it comes out in another size than its header declares
 */
export async function rgbFromSharp(picture: SharpPicture, size: PictureSize): Promise<DecodedPixels> {
  const decoding = picture.removeAlpha().toColourspace("srgb").raw();
  return { data: await rawFromSharp(decoding, size, 3), channels: 3 };
}

/** Returns the bytes of a picture that was asked for as raw samples. */
export async function rawFromSharp(
  picture: SharpPicture,
  { width, height }: PictureSize,
  channels: number,
): Promise<Buffer> {
  const { data, info } = await picture.toBuffer({ resolveWithObject: true });
  if (info.width !== width || info.height !== height || info.channels !== channels) {
    throw new Error("it does not have the size that its header declares");
  }
  return data;
}
