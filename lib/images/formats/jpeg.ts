import { jimpFormat } from "../jimp-formats.js";
import { openWithSharp, rawFromSharp, rgbFromSharp } from "../sharp.js";
import type { Sharp } from "../sharp-types.js";
import { checkNotEmpty, type DecodeContext, type DecodedPixels, type ImageCodec, type ImageHeader } from "./codec.js";
import { cmykToRgb } from "./colours.js";
import { jpegCost } from "./jpeg-cost.js";
import { PROGRESSIVE, readScans, ScanLedger } from "./jpeg-scans.js";
import { type JpegSegments, readJpegSegments } from "./jpeg-segments.js";
import { orientationOf } from "./orientation.js";

/** JPEG: 8 bits, baseline and progressive. */
export const jpeg: ImageCodec = { readHeader, jimp: decodeWithJimp, sharp: decodeWithSharp };

const HUFFMAN_FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2]);
const ARITHMETIC_FRAMES: ReadonlySet<number> = new Set([0xc9, 0xca]);

function readHeader(file: Buffer): ImageHeader {
  const segments = readJpegSegments(file);
  const { frame, exif, xmp, scan, interval } = segments;
  checkNotEmpty(frame.width, frame.height);
  const ledger = new ScanLedger(frame);
  const cost = jpegCost(readScans(file, scan, frame, interval), frame, (scan) => ledger.add(scan));
  return {
    width: frame.width,
    height: frame.height,
    orientation: orientationOf({ exif, xmp }),
    kind: kindOf(segments, ledger),
    cost,
    slowness: PROGRESSIVE.has(frame.marker) ? 3 : 1,
  };
}

function kindOf({ frame, jfif, adobe }: JpegSegments, scans: ScanLedger): string {
  const { marker, bits, components } = frame;
  if (ARITHMETIC_FRAMES.has(marker)) return "arithmetic coding";
  if (!HUFFMAN_FRAMES.has(marker)) return "lossless or hierarchical";
  if (bits !== 8) return "more than 8 bits";
  if (components.length === 4) return "CMYK";
  if (components.length !== 1 && components.length !== 3) return `${components.length} components`;
  if (components.length === 3 && isRgb(frame, jfif, adobe)) return "RGB";
  if (scans.isIncomplete) return "missing scans";
  if (scans.hasRestartsInSeveralScans) return "restarts in several scans";
  if (scans.lacksRestarts) return "missing restarts";
  if (new Set(components.map(({ id }) => id)).size < components.length) return "repeated components";
  const [luminance, ...others] = components as [(typeof components)[number]];
  const reduced = others.some(({ across, down }) => across > luminance.across || down > luminance.down);
  if (reduced) return "reduced luminance";
  return components.length === 1 ? "gray" : "YCbCr";
}

/** Says whether samples are RGB, as libjpeg guesses. */
function isRgb({ components }: JpegSegments["frame"], jfif: boolean, adobe: number | undefined): boolean {
  if (jfif) return false;
  if (adobe !== undefined) return adobe === 0;
  return String.fromCharCode(...components.map(({ id }) => id)) === "RGB";
}

async function decodeWithSharp(
  sharp: Sharp,
  file: Buffer,
  header: ImageHeader,
  context: DecodeContext,
): Promise<DecodedPixels> {
  const { essence, frame } = readJpegSegments(file);
  const picture = openWithSharp(sharp, essence, "truncated", context);
  if (frame.components.length !== 4) return rgbFromSharp(picture, header);
  // Both libvips and Pillow take 0 for full ink; the essence has Adobe's marker, which some versions of libvips ask for.
  const samples = await rawFromSharp(picture.pipelineColourspace("cmyk").toColourspace("cmyk").raw(), header, 4);
  return { data: cmykToRgb(samples), channels: 3 };
}

async function decodeWithJimp(
  file: Buffer,
  { width, height }: ImageHeader,
  { maxPixels }: DecodeContext,
): Promise<DecodedPixels> {
  const jimp = await jimpFormat("image/jpeg");
  // The decoder's own bound, against a file that makes it allocate more than its size accounts for: four components of
  // 4-byte coefficients, their samples and the result, for whole blocks.
  const maxMemoryUsageInMB = 16 + ((width + 64) * (height + 64) * 32) / 2 ** 20;
  const { data } = jimp.decode(readJpegSegments(file).essence, {
    tolerantDecoding: false,
    maxResolutionInMP: maxPixels / 1e6,
    maxMemoryUsageInMB,
  });
  return { data, channels: 4 };
}
