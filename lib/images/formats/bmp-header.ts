import { checkNotEmpty } from "./codec.js";

const CORE_HEADER = 12;
const HEADERS: readonly number[] = [40, 52, 56, 64, 108, 124];

const RAW = 0;
const RLE8 = 1;
const RLE4 = 2;
const BIT_FIELDS = 3;

/** How rows are stored: indices of so many bits, levels of gray, or samples at places in a pixel. */
export type BmpPixels =
  | { readonly kind: "indices"; readonly bits: number; readonly palette: Buffer; readonly entry: number }
  /** Levels of 8 bits, or of 1, whatever the header says: it is Pillow's reading of a palette of grays. */
  | { readonly kind: "gray"; readonly bits: 1 | 8 }
  /** 16 bits: where red, green and blue begin, and how many bits they have. */
  | { readonly kind: "fields"; readonly bits: 16; readonly green: 5 | 6 }
  /** Of 24 or 32 bits: which byte red, green and blue are. */
  | { readonly kind: "bytes"; readonly bits: 24 | 32; readonly order: readonly [number, number, number] };

export interface BmpFile {
  readonly width: number;
  readonly height: number;
  readonly topDown: boolean;
  readonly pixels: BmpPixels;
  readonly runLength: "RLE8" | "RLE4" | undefined;
  /** Where the pixels begin. */
  readonly offset: number;
  /** Bytes from one row to the next, where rows are not run-length encoded. */
  readonly stride: number;
}

/**
 * Reads a header as Pillow does.
 * @throws Error, RangeError where Pillow refuses
 */
export function readBmpHeader(file: Buffer): BmpFile {
  const size = file.readUInt32LE(14);
  const core = size === CORE_HEADER;
  if (!core && !HEADERS.includes(size)) throw new Error(`its BMP header has an unknown size of ${size} bytes`);
  if (file.length < 14 + size) throw new RangeError("the file ends in its header");
  const width = core ? file.readUInt16LE(18) : file.readUInt32LE(18);
  const topDown = !core && file.readUInt8(25) === 0xff;
  const stored = core ? file.readUInt16LE(20) : file.readUInt32LE(22);
  const height = topDown ? 2 ** 32 - stored : stored;
  checkNotEmpty(width, height);
  const bits = file.readUInt16LE(core ? 24 : 28);
  const compression = core ? RAW : file.readUInt32LE(30);
  checkKind(bits, compression);
  const declared = core ? 0 : file.readUInt32LE(46);
  const colors = bits <= 8 ? declared || 2 ** bits : 0;
  const entry = core ? 3 : 4;
  const masked = compression === BIT_FIELDS && size === 40 ? 12 : 0;
  const paletteAt = 14 + size + masked;
  // Where the header says that the pixels begin right behind it, the palette is there.
  const said = file.readUInt32LE(10);
  const beginning = said === 14 + size ? said + entry * colors : said;
  return {
    width,
    height,
    topDown,
    pixels: pixelsOf(file, { bits, compression, size, colors, entry, paletteAt }),
    runLength: compression === RLE8 ? "RLE8" : compression === RLE4 ? "RLE4" : undefined,
    offset: beginning || Math.min(paletteAt + entry * colors, file.length),
    stride: Math.floor((width * bits + 31) / 32) * 4,
  };
}

function checkKind(bits: number, compression: number): void {
  const depths = [1, 4, 8, 16, 24, 32];
  const known =
    compression === BIT_FIELDS
      ? depths.slice(3).includes(bits)
      : depths.slice(0, compression === RAW ? 6 : 3).includes(bits) && compression <= RLE4;
  if (known) return;
  throw new Error(`it is a kind of BMP that is not supported (${bits} bits per pixel, compression ${compression})`);
}

interface Layout {
  readonly bits: number;
  readonly compression: number;
  readonly size: number;
  readonly colors: number;
  readonly entry: number;
  readonly paletteAt: number;
}

function pixelsOf(file: Buffer, { bits, compression, size, colors, entry, paletteAt }: Layout): BmpPixels {
  if (compression === BIT_FIELDS) return maskedPixels(file, bits, size);
  if (bits === 16) return { kind: "fields", bits, green: 5 };
  if (bits > 8) return { kind: "bytes", bits: bits === 24 ? 24 : 32, order: [2, 1, 0] };
  if (colors > 65_536) throw new Error(`its BMP palette declares ${colors} colours`);
  const palette = file.subarray(paletteAt, paletteAt + entry * colors);
  if (isGray(palette, colors, entry)) return { kind: "gray", bits: colors === 2 ? 1 : 8 };
  if (Math.floor(palette.length / entry) > 256) throw new Error(`its BMP palette has ${colors} colours`);
  return { kind: "indices", bits, palette, entry };
}

/** Says whether the colours are the grays 0, 1, 2 and so on, or black and white. */
function isGray(palette: Buffer, colors: number, entry: number): boolean {
  for (let i = 0; i < colors; i++) {
    const level = colors === 2 ? 255 * i : i & 255;
    for (let c = 0; c < 3; c++) if (palette[i * entry + c] !== level) return false;
  }
  return true;
}

/** The masks that Pillow knows, and which bytes they name as red, green and blue. */
const MASKS_32: Readonly<Record<string, [number, number, number]>> = {
  "ff0000 ff00 ff 0": [2, 1, 0],
  "ff000000 ff0000 ff00 0": [3, 2, 1],
  "ff000000 ff00 ff 0": [3, 1, 0],
  "ff000000 ff0000 ff00 ff": [3, 2, 1],
  "ff ff00 ff0000 ff000000": [0, 1, 2],
  "ff0000 ff00 ff ff000000": [2, 1, 0],
  "ff000000 ff00 ff ff0000": [3, 1, 0],
  "0 0 0 0": [2, 1, 0],
};

function maskedPixels(file: Buffer, bits: number, size: number): BmpPixels {
  // Inside the header from version 2 on, else right behind it: the same place.
  const [red, green, blue] = [54, 58, 62].map((at) => file.readUInt32LE(at).toString(16));
  const alpha = size >= 56 ? file.readUInt32LE(66).toString(16) : "0";
  const colors = `${red} ${green} ${blue}`;
  const order = MASKS_32[`${colors} ${alpha}`];
  if (bits === 32 && order) return { kind: "bytes", bits, order };
  if (bits === 24 && colors === "ff0000 ff00 ff") return { kind: "bytes", bits, order: [2, 1, 0] };
  if (bits === 16 && colors === "f800 7e0 1f") return { kind: "fields", bits, green: 6 };
  if (bits === 16 && colors === "7c00 3e0 1f") return { kind: "fields", bits, green: 5 };
  throw new Error(
    `it is a kind of BMP that is not supported (${bits} bits per pixel with the masks ${colors} ${alpha})`,
  );
}
