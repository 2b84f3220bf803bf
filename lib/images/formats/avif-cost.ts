import type { AvifItems } from "./avif-items.js";

/** In pixels: a picture's cost besides its pixels. */
const SMALL_PICTURE = 1_000_000;

/** OBU types of AV1. */
const SEQUENCE_HEADER = 1;
const FRAME_HEADER = 3;
const FRAME = 6;

/**
 * Estimates the work of decoding, as a multiple of an ordinary picture of its size: a file may hold many frames of which one is
 * shown, or frames larger than the picture that it declares.
 * @param pixels declared
 */
export function avifCost({ primary, all }: AvifItems, pixels: number): number {
  const pictures = [primary, ...[...all.values()].filter(({ addsTo }) => addsTo === primary.id)];
  let work = 0;
  for (const picture of pictures) {
    for (const id of picture.type === "grid" ? picture.parts : [picture.id]) {
      const item = all.get(id);
      if (item !== undefined) work += codedPixels(item.data);
    }
  }
  // A grid's tiles at its edges reach beyond it.
  return Math.max(1, work / Math.max(pixels, SMALL_PICTURE));
}

/** Counts the pixels of all frames, shown or not. */
function codedPixels(data: Buffer): number {
  let frameSize = 0;
  let coded = 0;
  for (let at = 0; at < data.length; ) {
    const header = data.readUInt8(at++);
    const type = (header >> 3) & 15;
    if (header & 4) at++;
    let size = data.length - at;
    if (header & 2) [size, at] = readLeb128(data, at);
    if (type === SEQUENCE_HEADER) frameSize = readFrameSize(data.subarray(at, at + size));
    if (type === FRAME_HEADER || type === FRAME) coded += frameSize;
    at += size;
  }
  return coded;
}

function readLeb128(data: Buffer, start: number): [value: number, end: number] {
  let value = 0;
  let at = start;
  for (let i = 0; i < 8; i++) {
    const byte = data.readUInt8(at++);
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) break;
  }
  return [value, at];
}

class BitReader {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  bits(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++) {
      value = value * 2 + ((this.#data.readUInt8(this.#at >> 3) >> (7 - (this.#at & 7))) & 1);
    }
    return value;
  }

  /** Reads a number after as many bits as it has zeros before. */
  variableLength(): number {
    let zeros = 0;
    while (zeros < 32 && this.bits(1) === 0) zeros++;
    return zeros >= 32 ? 2 ** 32 - 1 : this.bits(zeros) + 2 ** zeros - 1;
  }
}

/** Returns the largest frame that a sequence header allows, in pixels: section 5.5 of the AV1 specification. */
function readFrameSize(data: Buffer): number {
  const reader = new BitReader(data);
  reader.bits(3);
  reader.bits(1);
  if (reader.bits(1)) {
    reader.bits(5);
  } else {
    skipOperatingPoints(reader);
  }
  const widthBits = reader.bits(4) + 1;
  const heightBits = reader.bits(4) + 1;
  return (reader.bits(widthBits) + 1) * (reader.bits(heightBits) + 1);
}

function skipOperatingPoints(reader: BitReader): void {
  let delayBits: number | undefined;
  if (reader.bits(1)) {
    reader.bits(32);
    reader.bits(32);
    if (reader.bits(1)) reader.variableLength();
    if (reader.bits(1)) {
      delayBits = reader.bits(5) + 1;
      reader.bits(32 + 5 + 5);
    }
  }
  const displayDelays = reader.bits(1);
  for (let points = reader.bits(5); points >= 0; points--) {
    reader.bits(12);
    if (reader.bits(5) > 7) reader.bits(1);
    if (delayBits !== undefined && reader.bits(1)) reader.bits(2 * delayBits + 1);
    if (displayDelays && reader.bits(1)) reader.bits(4);
  }
}
