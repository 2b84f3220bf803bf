import { openWithSharp, rgbFromSharp } from "../sharp.js";
import type { Sharp } from "../sharp-types.js";
import { avifCost } from "./avif-cost.js";
import { type AvifItem, type AvifItems, readAvifItems } from "./avif-items.js";
import { checkNotEmpty, type DecodeContext, type DecodedPixels, type ImageCodec, type ImageHeader } from "./codec.js";
import { orientationOf } from "./orientation.js";

/** AVIF: the primary picture. Only sharp decodes it, by libheif, which turns and mirrors it by its own properties. */
export const avif: ImageCodec = { readHeader, sharp: decode };

/** Bits of av1C's third byte. */
const MORE_THAN_8_BITS = 0x40;
const MONOCHROME = 0x10;
const HALF_COLUMNS = 0x08;
const HALF_ROWS = 0x04;

/** What a picture may take; besides its pixels there are the file and the decoder itself, some 24 MB. */
const MOST_BYTES_PER_PIXEL = 16;
const MOST_BYTES_BESIDES = 40 * 2 ** 20;

function readHeader(file: Buffer): ImageHeader {
  const items = readAvifItems(file);
  const { primary } = items;
  const size = property(primary, "ispe");
  if (size === undefined) throw new Error("its AVIF data does not declare a size");
  const stored = [size.readUInt32BE(4), size.readUInt32BE(8)] as const;
  const quarters = property(primary, "irot")?.readUInt8(0) ?? 0;
  if (quarters > 3 || (property(primary, "imir")?.readUInt8(0) ?? 0) > 1) {
    throw new Error("its AVIF data is damaged (it is to be turned in an unknown way)");
  }
  const [width, height] = quarters % 2 === 1 ? [stored[1], stored[0]] : stored;
  checkNotEmpty(width, height);
  const turned = quarters > 0 || property(primary, "imir") !== undefined;
  return {
    width,
    height,
    orientation: turned ? 1 : orientationOfMetadata(items),
    kind: kindOf(items, width * height),
    cost: avifCost(items, width * height),
    slowness: 4,
  };
}

function kindOf(items: AvifItems, pixels: number): string {
  const { primary, premultiplied } = items;
  if (premultiplied) return "associated alpha";
  if (primary.type !== "av01" && primary.type !== "grid") return primary.type === "hvc1" ? "HEVC" : "other coding";
  if (property(primary, "clap") !== undefined) return "cropped";
  return memoryOf(items, pixels) > MOST_BYTES_PER_PIXEL * pixels + MOST_BYTES_BESIDES ? "too much memory" : "AV1";
}

/**
 * Returns the most bytes that decoding takes at a time: libaom keeps 12 a pixel for coefficients and the samples, libheif copies
 * those. Of a grid one tile is decoded at a time.
 */
function memoryOf({ primary }: AvifItems, pixels: number): number {
  const flags = property(primary, "av1C")?.readUInt8(2) ?? 0;
  if (primary.type === "grid") return 0;
  const colours = flags & MONOCHROME ? 0 : 2 / (flags & HALF_COLUMNS ? 2 : 1) / (flags & HALF_ROWS ? 2 : 1);
  return pixels * (12 + 2 * (1 + colours) * (flags & MORE_THAN_8_BITS ? 2 : 1));
}

/**
 * Returns the orientation as Pillow has it: the picture's own properties overrule EXIF's orientation even where they are absent,
 * but not XMP's.
 */
function orientationOfMetadata({ primary, all }: AvifItems): number {
  const about = [...all.values()].filter(({ describes }) => describes === primary.id);
  const exif = about.find(({ type }) => type === "Exif")?.data;
  const xmp = about.find(({ type }) => type === "mime")?.data;
  // Before the EXIF block stands how far its TIFF structure is.
  const block = exif && exif.length > 4 ? exif.subarray(4 + exif.readUInt32BE(0)) : undefined;
  const upright = orientationOf({ exif: block }) === orientationOf({ exif: block, xmp });
  return upright ? 1 : orientationOf({ xmp });
}

function property({ properties }: AvifItem, type: string): Buffer | undefined {
  return properties.find((box) => box.type === type)?.data;
}

async function decode(sharp: Sharp, file: Buffer, header: ImageHeader, context: DecodeContext): Promise<DecodedPixels> {
  const items = readAvifItems(file);
  // libvips does not know the brands of animations, whose primary picture is the first frame, and of images in general.
  file.write("avif", 8, "latin1");
  const pixels = await rgbFromSharp(openWithSharp(sharp, file, "error", context), header);
  if (isLimited(items)) toFullRange(pixels.data, isGray(items));
  return pixels;
}

/** Says whether its samples' black and white are 16 and 235. */
function isLimited({ primary }: AvifItems): boolean {
  const colours = primary.properties.find(
    ({ type, data }) => type === "colr" && data.toString("latin1", 0, 4) === "nclx",
  );
  return colours !== undefined && (colours.data.readUInt8(10) & 0x80) === 0;
}

function isGray({ primary, all }: AvifItems): boolean {
  const coded = primary.type === "grid" ? all.get(primary.parts[0] ?? 0) : primary;
  return coded !== undefined && ((property(coded, "av1C")?.readUInt8(2) ?? 0) & MONOCHROME) !== 0;
}

/** Corrects, in place, what libheif makes of a limited range: nothing at all of gray, and of colours 256/255 of what they are. */
function toFullRange(pixels: Uint8Array, isGray: boolean): void {
  const levels = Uint8ClampedArray.from({ length: 256 }, (_, level) =>
    isGray ? ((level - 16) * 255) / (235 - 16) : (level * 255) / 256,
  );
  for (let i = 0; i < pixels.length; i++) pixels[i] = levels[pixels[i] ?? 0] ?? 0;
}
