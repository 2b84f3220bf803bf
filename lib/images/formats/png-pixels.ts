import type { PngFile } from "./png-chunks.js";

/** Samples per pixel of each colour type. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const INDEXED = 3;

/** Every `dx`th column from `x`, every `dy`th row from `y`. */
interface Pass {
  readonly x: number;
  readonly y: number;
  readonly dx: number;
  readonly dy: number;
}

const WHOLE: readonly Pass[] = [{ x: 0, y: 0, dx: 1, dy: 1 }];
const ADAM7: readonly Pass[] = [
  { x: 0, y: 0, dx: 8, dy: 8 },
  { x: 4, y: 0, dx: 8, dy: 8 },
  { x: 0, y: 4, dx: 4, dy: 8 },
  { x: 2, y: 0, dx: 4, dy: 4 },
  { x: 0, y: 2, dx: 2, dy: 4 },
  { x: 1, y: 0, dx: 2, dy: 2 },
  { x: 0, y: 1, dx: 1, dy: 2 },
];

interface PassRows extends Pass {
  readonly columns: number;
  readonly rows: number;
  /** Bytes of a row, with the one that names its filter. */
  readonly stride: number;
}

/** Returns how a picture's rows are stored, pass by pass. */
export function passesOf({ frame, depth, color, interlaced }: PngFile): PassRows[] {
  const bits = depth * (SAMPLES[color] ?? 0);
  return (interlaced ? ADAM7 : WHOLE)
    .map((pass) => {
      const columns = Math.max(0, Math.ceil((frame.width - pass.x) / pass.dx));
      const rows = Math.max(0, Math.ceil((frame.height - pass.y) / pass.dy));
      return { ...pass, columns, rows, stride: 1 + Math.ceil((columns * bits) / 8) };
    })
    .filter(({ columns, rows }) => columns > 0 && rows > 0);
}

/**
 * Makes RGB of inflated rows, as Pillow does: of 16 bits a colour's high byte, a gray's low byte where the high one is 0, else white;
 * black for colours that the palette does not have, and for rows that are missing.
 * @param data overwritten
 * @returns the pixels, and whether a gray was above 255
 */
export function toRgb(png: PngFile, data: Uint8Array): { pixels: Uint8Array; cut: boolean } {
  const { width, height, frame, depth, color, palette } = png;
  const pixels = new Uint8Array(width * height * 3);
  const bytesPerPixel = Math.max(1, (depth * (SAMPLES[color] ?? 0)) >> 3);
  const unpack = unpacker(png);
  // What has no pixels in the file is 0, which is a colour of the palette where there is one.
  if (color === INDEXED && palette.length >= 3) fill(pixels, palette.subarray(0, 3));
  let from = 0;
  let cut = false;
  const zeros = new Uint8Array(passesOf(png).reduce((most, { stride }) => Math.max(most, stride), 0));
  for (const { x, y, dx, dy, columns, rows, stride } of passesOf(png)) {
    let above: Uint8Array = zeros;
    for (let row = 0; row < rows; row++, from += stride) {
      if (from + stride > data.length) return { pixels, cut };
      const line = data.subarray(from, from + stride);
      unfilter(line, above, bytesPerPixel);
      above = line;
      const to = ((frame.y + y + row * dy) * width + frame.x + x) * 3;
      if (unpack(line, columns, pixels, to, dx * 3)) cut = true;
    }
  }
  return { pixels, cut };
}

function fill(pixels: Uint8Array, color: Uint8Array): void {
  pixels.set(color);
  for (let filled = 3; filled < pixels.length; filled *= 2) pixels.copyWithin(filled, 0, filled);
}

/** Undoes the filter that a row's first byte names. */
function unfilter(line: Uint8Array, above: Uint8Array, bpp: number): void {
  const length = line.length;
  switch (line[0]) {
    case 0:
      return;
    case 1:
      for (let i = bpp + 1; i < length; i++) line[i] = at(line, i) + at(line, i - bpp);
      return;
    case 2:
      for (let i = 1; i < length; i++) line[i] = at(line, i) + at(above, i);
      return;
    case 3:
      for (let i = 1; i <= bpp && i < length; i++) line[i] = at(line, i) + (at(above, i) >> 1);
      for (let i = bpp + 1; i < length; i++) line[i] = at(line, i) + ((at(line, i - bpp) + at(above, i)) >> 1);
      return;
    case 4:
      for (let i = 1; i <= bpp && i < length; i++) line[i] = at(line, i) + at(above, i);
      for (let i = bpp + 1; i < length; i++) {
        line[i] = at(line, i) + paeth(at(line, i - bpp), at(above, i), at(above, i - bpp));
      }
      return;
    default:
      throw new Error("its PNG data is damaged (a filter that there is not)");
  }
}

/** Returns a byte that is known to be there. */
function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** Returns the one of left, above and above left that is nearest to left + above - above left. */
function paeth(a: number, b: number, c: number): number {
  const pa = Math.abs(b - c);
  const pb = Math.abs(a - c);
  const pc = Math.abs(a + b - 2 * c);
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}

/** Unpacks a row's pixels to RGB at `to`, `step` bytes apart. @returns whether a gray was above 255 */
type Unpack = (line: Uint8Array, columns: number, pixels: Uint8Array, to: number, step: number) => boolean;

function unpacker({ depth, color, palette }: PngFile): Unpack {
  const samples = SAMPLES[color] ?? 0;
  if (color === INDEXED || (color === 0 && depth < 8)) {
    const colors = new Uint8Array(3 * 256);
    if (color === INDEXED) colors.set(palette.subarray(0, Math.floor(palette.length / 3) * 3));
    else for (let i = 0; i < 2 ** depth; i++) colors.fill((i * 255) / (2 ** depth - 1), 3 * i, 3 * i + 3);
    const mask = 2 ** depth - 1;
    return (line, columns, pixels, to, step) => {
      for (let x = 0, bit = 8; x < columns; x++, bit += depth, to += step) {
        const index = 3 * ((at(line, bit >> 3) >> (8 - depth - (bit & 7))) & mask);
        pixels[to] = at(colors, index);
        pixels[to + 1] = at(colors, index + 1);
        pixels[to + 2] = at(colors, index + 2);
      }
      return false;
    };
  }
  const bytes = depth >> 3;
  if (color === 0 && depth === 16) {
    return (line, columns, pixels, to, step) => {
      let cut = false;
      for (let x = 0, i = 1; x < columns; x++, i += 2, to += step) {
        const high = at(line, i);
        if (high !== 0) cut = true;
        pixels.fill(high === 0 ? at(line, i + 1) : 255, to, to + 3);
      }
      return cut;
    };
  }
  // Of a gray the same byte three times.
  const next = samples >= 3 ? bytes : 0;
  return (line, columns, pixels, to, step) => {
    for (let x = 0, i = 1; x < columns; x++, i += samples * bytes, to += step) {
      pixels[to] = at(line, i);
      pixels[to + 1] = at(line, i + next);
      pixels[to + 2] = at(line, i + 2 * next);
    }
    return false;
  };
}
