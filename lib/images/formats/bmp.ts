import { type BmpFile, type BmpPixels, readBmpHeader } from "./bmp-header.js";
import { expandRuns } from "./bmp-runs.js";
import type { DecodedPixels, ImageCodec, ImageHeader } from "./codec.js";

/** BMP: 1, 4, 8, 16, 24 and 32 bits, top-down or bottom-up, run-length encoded or with bit fields, of Windows or OS/2. */
export const bmp: ImageCodec = { readHeader, own: decode };

function readHeader(file: Buffer): ImageHeader {
  const { width, height } = readBmpHeader(file);
  return { width, height, orientation: 1, kind: "any", cost: 1 };
}

async function decode(file: Buffer): Promise<DecodedPixels> {
  const bmp = readBmpHeader(file);
  const { width, height, topDown, runLength, offset } = bmp;
  const pixels = runLength ? expandedPixels(bmp.pixels) : bmp.pixels;
  const data = runLength ? expandRuns(file, bmp) : file.subarray(offset);
  const stride = runLength ? width : bmp.stride;
  const rowBytes = Math.ceil((pixels.bits * width) / 8);
  if (stride < rowBytes)
    throw new Error("its BMP rows are shorter than its pixels (a palette of grays that is not 8 bits)");
  if (data.length < stride * (height - 1) + rowBytes) throw new RangeError("the BMP has too few pixels");
  const rgb = new Uint8Array(width * height * 3);
  const readRow = rowReader(pixels, bmp);
  for (let y = 0; y < height; y++) readRow(data, (topDown ? y : height - 1 - y) * stride, rgb, y * width * 3);
  return { data: rgb, channels: 3 };
}

/** Returns how expanded pixels are stored: of runs, each index or level is a byte. */
function expandedPixels(pixels: BmpPixels): BmpPixels {
  if (pixels.kind === "indices") return { ...pixels, bits: 8 };
  if (pixels.kind === "gray" && pixels.bits === 8) return pixels;
  throw new Error("it is a kind of BMP that is not supported (run lengths of black and white)");
}

/** Reads the row at `from` to RGB at `to`. */
type RowReader = (data: Uint8Array, from: number, rgb: Uint8Array, to: number) => void;

function rowReader(pixels: BmpPixels, { width }: BmpFile): RowReader {
  if (pixels.kind === "bytes") {
    const [red, green, blue] = pixels.order;
    const bytes = pixels.bits / 8;
    return (data, from, rgb, to) => {
      for (let x = 0; x < width; x++, from += bytes, to += 3) {
        rgb[to] = data[from + red] ?? 0;
        rgb[to + 1] = data[from + green] ?? 0;
        rgb[to + 2] = data[from + blue] ?? 0;
      }
    };
  }
  if (pixels.kind === "fields") {
    const mostGreen = 2 ** pixels.green - 1;
    return (data, from, rgb, to) => {
      for (let x = 0; x < width; x++, from += 2, to += 3) {
        const value = (data[from] ?? 0) | ((data[from + 1] ?? 0) << 8);
        rgb[to] = (((value >> (5 + pixels.green)) & 31) * 255) / 31;
        rgb[to + 1] = (((value >> 5) & mostGreen) * 255) / mostGreen;
        rgb[to + 2] = ((value & 31) * 255) / 31;
      }
    };
  }
  const { bits } = pixels;
  const colors = colorsOf(pixels);
  const mask = 2 ** bits - 1;
  return (data, from, rgb, to) => {
    for (let x = 0, bit = 0; x < width; x++, bit += bits, to += 3) {
      const index = 3 * (((data[from + (bit >> 3)] ?? 0) >> (8 - bits - (bit & 7))) & mask);
      rgb[to] = colors[index] ?? 0;
      rgb[to + 1] = colors[index + 1] ?? 0;
      rgb[to + 2] = colors[index + 2] ?? 0;
    }
  };
}

/** Returns the colour of each index: black where the palette is shorter. */
function colorsOf(pixels: Extract<BmpPixels, { kind: "indices" | "gray" }>): Uint8Array {
  const colors = new Uint8Array(3 * 256);
  for (let i = 0; i < 256; i++) {
    for (let c = 0; c < 3; c++) {
      if (pixels.kind === "gray") colors[3 * i + c] = pixels.bits === 1 ? 255 * i : i;
      else if ((i + 1) * pixels.entry <= pixels.palette.length)
        colors[3 * i + c] = pixels.palette[i * pixels.entry + 2 - c] ?? 0;
    }
  }
  return colors;
}
