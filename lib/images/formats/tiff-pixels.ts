import type { DecodeContext } from "./codec.js";
import { clipToRgb, cmykToRgb, libtiffYCbCr } from "./colours.js";
import type { TiffMode } from "./tiff-modes.js";
import { Photometric, Tag, type TiffPage } from "./tiff-page.js";

/** A page's samples as they are stored; those of fewer than 8 bits stretched to 0 to 255. */
export interface TiffSamples {
  readonly data: Uint8Array;
  /** Of each pixel. */
  readonly bytes: number;
  readonly littleEndian: boolean;
}

/** Converts samples as Pillow does. @returns RGB */
export function tiffToRgb(page: TiffPage, mode: TiffMode, samples: TiffSamples, { warn }: DecodeContext): Uint8Array {
  const { data, bytes } = samples;
  switch (mode) {
    case "gray":
      return grayToRgb(data, bytes, page.photometric === Photometric.whiteIsZero ? 255 : 0);
    case "palette":
      return paletteToRgb(data, bytes, page);
    case "RGB":
      return highBytes(samples, page.bits, 3);
    case "associated alpha":
      return divideByAlpha(highBytes(samples, page.bits, 4));
    case "CMYK":
      return cmykToRgb(highBytes(samples, page.bits, 4));
    case "YCbCr": {
      const toRgb = libtiffYCbCr(
        page.directory.values(Tag.yCbCrCoefficients),
        page.directory.values(Tag.referenceBlackWhite),
      );
      return toRgb(data);
    }
    case "16-bit gray":
      return clipToRgb(numbers(samples, page), warn);
    case "whole numbers":
    case "floating point":
      return clipToRgb(numbers(samples, page));
  }
}

/** Returns the first `count` samples of each pixel, of 16 bits the higher 8. */
function highBytes({ data, bytes, littleEndian }: TiffSamples, bits: number, count: number): Uint8Array {
  const size = bits / 8;
  if (size === 1 && bytes === count) return data;
  const high = littleEndian ? size - 1 : 0;
  const result = new Uint8Array((data.length / bytes) * count);
  for (let from = 0, to = 0; from < data.length; from += bytes) {
    for (let c = 0; c < count; c++) result[to++] = data[from + c * size + high] ?? 0;
  }
  return result;
}

function grayToRgb(data: Uint8Array, bytes: number, flip: number): Uint8Array {
  const rgb = new Uint8Array((data.length / bytes) * 3);
  for (let from = 0, to = 0; from < data.length; from += bytes, to += 3) {
    const value = (data[from] ?? 0) ^ flip;
    rgb[to] = value;
    rgb[to + 1] = value;
    rgb[to + 2] = value;
  }
  return rgb;
}

function paletteToRgb(data: Uint8Array, bytes: number, page: TiffPage): Uint8Array {
  const map = page.directory.values(Tag.colorMap);
  const size = map.length / 3;
  // Indices of fewer bits come stretched.
  const step = page.bits < 8 ? 255 / (2 ** page.bits - 1) : 1;
  const rgb = new Uint8Array((data.length / bytes) * 3);
  for (let from = 0, to = 0; from < data.length; from += bytes, to += 3) {
    const index = (data[from] ?? 0) / step;
    if (index >= size) continue;
    for (let c = 0; c < 3; c++) rgb[to + c] = (map[index + c * size] ?? 0) >> 8;
  }
  return rgb;
}

/** Divides colours by their alpha. @param rgba colours multiplied by their alpha */
function divideByAlpha(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const alpha = rgba[from + 3] ?? 0;
    if (alpha === 0) continue;
    for (let c = 0; c < 3; c++) rgb[to + c] = Math.min(Math.floor(((rgba[from + c] ?? 0) * 255) / alpha), 255);
  }
  return rgb;
}

/** Reads samples as numbers in the machine's byte order. */
function numbers({ data, littleEndian }: TiffSamples, { bits, sampleFormat }: TiffPage): ArrayLike<number> {
  const aligned = data.byteOffset % 4 === 0 ? data : data.slice();
  const own = Buffer.from(aligned.buffer, aligned.byteOffset, aligned.length);
  if (!littleEndian) bits === 16 ? own.swap16() : own.swap32();
  const view = [own.buffer, own.byteOffset, own.length / (bits / 8)] as const;
  if (sampleFormat === 3) return new Float32Array(...view);
  if (bits === 16) return sampleFormat === 2 ? new Int16Array(...view) : new Uint16Array(...view);
  return new Int32Array(...view);
}
