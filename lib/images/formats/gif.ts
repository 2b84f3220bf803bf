import { checkNotEmpty, type DecodedPixels, type ImageCodec, type ImageHeader } from "./codec.js";
import { readFirstFrame } from "./gif-blocks.js";
import { expandCodes } from "./gif-lzw.js";

/** GIF: the first frame, with the colours of its transparent pixels. What is behind it does not matter. */
export const gif: ImageCodec = { readHeader, own: decode };

/** The order in which interlaced rows are stored. */
const INTERLACED = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

function readHeader(file: Buffer): ImageHeader {
  const { screenWidth, screenHeight, x, y, width, height } = readFirstFrame(file);
  checkNotEmpty(width, height);
  // A frame beyond the screen enlarges it.
  return {
    width: Math.max(screenWidth, x + width),
    height: Math.max(screenHeight, y + height),
    orientation: 1,
    kind: "any",
    cost: 1,
  };
}

async function decode(file: Buffer, header: ImageHeader): Promise<DecodedPixels> {
  const frame = readFirstFrame(file);
  const indices = expandCodes(file, frame);
  const colors = colorsOf(frame.palette);
  const pixels = new Uint8Array(header.width * header.height * 3);
  pixels.set(colors.subarray(3 * frame.background, 3 * frame.background + 3));
  const filled = frame.width * frame.height === header.width * header.height;
  for (let done = 3; !filled && done < pixels.length; done *= 2) pixels.copyWithin(done, 0, done);
  let at = 0;
  for (const y of rowOrder(frame.height, frame.interlaced)) {
    let to = ((frame.y + y) * header.width + frame.x) * 3;
    for (let x = 0; x < frame.width; x++, to += 3) {
      const index = 3 * (indices[at++] ?? 0);
      pixels[to] = colors[index] ?? 0;
      pixels[to + 1] = colors[index + 1] ?? 0;
      pixels[to + 2] = colors[index + 2] ?? 0;
    }
  }
  return { data: pixels, channels: 3 };
}

/** Returns the colour of each index: black where the palette is shorter, gray where there is none. */
function colorsOf(palette: Buffer | undefined): Uint8Array {
  const colors = new Uint8Array(3 * 256);
  if (palette === undefined) for (let i = 0; i < 256; i++) colors.fill(i, 3 * i, 3 * i + 3);
  else colors.set(palette);
  return colors;
}

function* rowOrder(height: number, interlaced: boolean): Generator<number> {
  for (const [start, step] of interlaced ? INTERLACED : ([[0, 1]] as const)) {
    for (let y = start; y < height; y += step) yield y;
  }
}
