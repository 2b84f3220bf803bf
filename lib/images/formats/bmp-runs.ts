import type { BmpFile } from "./bmp-header.js";

/**
 * Expands run-length encoded rows to an index a pixel, rows as they are stored, as Pillow does: one row behind another, what is skipped
 * is 0, and of an odd run of half bytes the last is lost.
 * @throws RangeError where there are too few
 */
export function expandRuns(file: Buffer, { width, height, runLength, offset }: BmpFile): Uint8Array {
  const halves = runLength === "RLE4";
  const indices = new Uint8Array(width * height);
  let at = offset;
  let length = 0;
  let x = 0;
  const put = (index: number) => {
    if (length < indices.length) indices[length] = index;
    length++;
  };
  while (length < indices.length && at + 1 < file.length) {
    const count = file.readUInt8(at);
    const value = file.readUInt8(at + 1);
    at += 2;
    if (count > 0) {
      const fitting = Math.max(0, Math.min(count, width - x));
      for (let i = 0; i < fitting; i++) put(halves ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
      x += fitting;
    } else if (value === 0) {
      length = Math.ceil(length / width) * width;
      x = 0;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      if (at + 2 > file.length) break;
      length += file.readUInt8(at) + file.readUInt8(at + 1) * width;
      at += 2;
      x = length % width;
    } else {
      const bytes = halves ? value >> 1 : value;
      const run = file.subarray(at, at + bytes);
      for (const byte of run) {
        if (halves) put(byte >> 4);
        put(halves ? byte & 15 : byte);
      }
      if (run.length < bytes) break;
      at += bytes;
      x += value;
      // Runs are filled up to 16 bits of the file.
      at += at % 2;
    }
  }
  if (length < indices.length) throw new RangeError("the BMP's runs end too early");
  return indices;
}
