/** Pictures that are made to keep a decoder busy: a few kilobytes each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { fixture } from "./helpers.ts";

/** A progressive JPEG of 24 megapixels: within all limits, and yet seconds of work for jimp's decoder. */
export function slowJpeg(): Promise<Buffer> {
  const create = { width: 4900, height: 4900, channels: 3 as const, background: "red" };
  return sharp({ create }).jpeg({ progressive: true }).toBuffer();
}

/** An LZW TIFF without the code that every stream begins with: jimp's decoder goes round in circles. */
export function endlessTiff(): Buffer {
  const file = readFileSync(join(fixture("pictures"), "lzw.tiff"));
  file[8] = 42;
  return file;
}

/** A GIF of 10 x 10 pixels in which a code names itself. */
export function endlessGif(): Buffer {
  return Buffer.from(
    "474946383961 0a000a00800000 000000ffffff 2c000000000a000a0000 0202f40d003b".replaceAll(" ", ""),
    "hex",
  );
}

/** A progressive JPEG, by default of 1024 x 1024 pixels, one scan of which is there so many times: each goes over the whole picture. */
export async function manyScansJpeg(scans: number, size = 1024): Promise<Buffer> {
  const create = { width: size, height: size, channels: 3 as const, background: "red" };
  const file = await sharp({ create }).jpeg({ progressive: true }).toBuffer();
  const last = file.lastIndexOf(Buffer.from([0xff, 0xda]));
  const scan = file.subarray(last, -2);
  return Buffer.concat([file.subarray(0, last), ...Array.from({ length: scans }, () => scan), file.subarray(-2)]);
}
