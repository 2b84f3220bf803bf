import { inflateSync } from "node:zlib";
import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";
import { readExifOrientation } from "./exif.js";

const SIGNATURE_LENGTH = 8;
/** Samples per pixel of each colour type. */
const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** PNG: every colour type and depth, interlaced or not; of an animation the default picture. */
export const png: ImageCodec = { readHeader, decode };

interface Chunk {
  readonly type: string;
  /** Where the chunk begins (its length field) and ends (behind its checksum). */
  readonly start: number;
  readonly end: number;
  readonly data: Buffer;
}

/** The chunks, as far as the file goes. */
function* chunks(file: Buffer): Generator<Chunk> {
  for (let start = SIGNATURE_LENGTH; start + 12 <= file.length; ) {
    const end = start + 12 + file.readUInt32BE(start);
    const type = file.toString("latin1", start + 4, start + 8);
    yield { type, start, end, data: file.subarray(start + 8, end - 4) };
    start = end;
  }
}

function readHeader(file: Buffer): ImageHeader {
  if (file.toString("latin1", 12, 16) !== "IHDR") throw new Error("its PNG header is missing or damaged");
  const width = file.readUInt32BE(16);
  const height = file.readUInt32BE(20);
  checkNotEmpty(width, height);
  let orientation = 1;
  for (const chunk of chunks(file)) {
    if (chunk.type === "eXIf") orientation = readExifOrientation(chunk.data);
  }
  return { width, height, orientation };
}

async function decode(file: Buffer, header: ImageHeader): Promise<Uint8Array> {
  const { default: jimpPng } = await import("@jimp/js-png");
  const depth = file.readUInt8(24);
  if (file.readUInt8(28) === 1) checkInterlacedData(file, header);
  // Without scaling, 16-bit samples arrive as they are; their high byte is what Pillow takes of colour pictures.
  const { data } = jimpPng().decode(withoutTransparency(file), { skipRescale: depth === 16 });
  return depth === 16 ? Uint8Array.from(data, (sample) => sample >> 8) : data;
}

/**
 * The file without its tRNS chunk. The decoder blackens pixels of the transparent colour; alpha is not used here, and
 * Pillow's convert("RGB") keeps their colour.
 */
function withoutTransparency(file: Buffer): Buffer {
  for (const { type, start, end } of chunks(file)) {
    if (type === "tRNS") return Buffer.concat([file.subarray(0, start), file.subarray(end)]);
  }
  return file;
}

/** The decoder bounds what it inflates, except for interlaced pictures, which could inflate to any size. */
function checkInterlacedData(file: Buffer, { width, height }: ImageHeader): void {
  const bitsPerPixel = file.readUInt8(24) * (SAMPLES[file.readUInt8(25)] ?? 4);
  // Seven passes, each with a filter byte per row and rows filled up to whole bytes.
  const bound = Math.ceil((width * height * bitsPerPixel) / 8) + 7 * 2 * (height + 8);
  const parts: Buffer[] = [];
  for (const { type, data } of chunks(file)) if (type === "IDAT") parts.push(data);
  inflateSync(Buffer.concat(parts), { maxOutputLength: bound });
}
