/** Pictures that are made to keep a decoder busy: a few kilobytes each. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { fixture } from "../helpers.ts";

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

/** A lossless WebP of 64 x 64 pixels whose blocks have group 65,535 of as many groups of Huffman codes, each of symbol 0 alone. */
export function manyGroupsWebp(): Buffer {
  const onlyZero = "1000";
  const only255 = `101${"1".repeat(8)}`;
  const image = `0${only255.repeat(2)}${onlyZero.repeat(3)}`;
  const bits = `001000${image}${onlyZero.repeat(5 * 65_536)}`;
  const stream = Buffer.from(
    (bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt([...byte].reverse().join(""), 2)),
  );
  const header = Buffer.alloc(25);
  header.write("RIFF----WEBPVP8L----\x2f", "latin1");
  header.writeUInt32LE(header.length - 8 + stream.length, 4);
  header.writeUInt32LE(5 + stream.length, 16);
  header.writeUInt32LE(63 + 63 * 2 ** 14, 21);
  return Buffer.concat([header, stream, Buffer.alloc(64)]);
}
