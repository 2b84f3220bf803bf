import type { defaultFormats } from "jimp";

type JimpFormats = { [F in ReturnType<(typeof defaultFormats)[number]> as F["mime"]]: F };

/**
 * Returns a decoder of the `jimp` package, which is loaded on first use. Only its formats are used: Jimp.read and Jimp.fromBuffer
 * turn pictures by rules of their own, and fetch addresses.
 */
export async function jimpFormat<Mime extends keyof JimpFormats>(mime: Mime): Promise<JimpFormats[Mime]> {
  const { defaultFormats } = await import("jimp");
  for (const make of defaultFormats) {
    const format = make();
    if (isFormat(format, mime)) return format;
  }
  throw new Error(`the jimp package that is installed has no decoder for ${mime}`);
}

function isFormat<Mime extends keyof JimpFormats>(format: { mime: string }, mime: Mime): format is JimpFormats[Mime] {
  return format.mime === mime;
}
