import { Compression, Photometric, type TiffPage } from "./tiff-page.js";

/** How Pillow understands a page's samples. */
export type TiffMode =
  | "gray"
  | "palette"
  | "RGB"
  | "associated alpha"
  | "CMYK"
  | "YCbCr"
  | "16-bit gray"
  | "whole numbers"
  | "floating point";

/** Pillow's table of what it reads: sample depths, by colour model and the meanings of the extra samples. */
const COLOUR_MODES: readonly [photometric: number, bits: number, extra: string, mode: TiffMode, samples: number][] = [
  [Photometric.rgb, 8, "", "RGB", 3],
  [Photometric.rgb, 8, "", "RGB", 4],
  [Photometric.rgb, 8, "999", "RGB", 4],
  ...["0", "2", "0,0", "2,0", "0,0,0", "2,0,0"].map(
    (extra) => [Photometric.rgb, 8, extra, "RGB", 3 + extra.split(",").length] as const,
  ),
  ...["1", "1,0", "1,0,0"].map(
    (extra) => [Photometric.rgb, 8, extra, "associated alpha", 3 + extra.split(",").length] as const,
  ),
  [Photometric.rgb, 16, "", "RGB", 3],
  [Photometric.rgb, 16, "", "RGB", 4],
  [Photometric.rgb, 16, "0", "RGB", 4],
  [Photometric.rgb, 16, "2", "RGB", 4],
  [Photometric.rgb, 16, "1", "associated alpha", 4],
  [Photometric.blackIsZero, 8, "2", "gray", 2],
  [Photometric.palette, 8, "0", "palette", 2],
  [Photometric.palette, 8, "2", "palette", 2],
  [Photometric.cmyk, 8, "", "CMYK", 4],
  [Photometric.cmyk, 8, "0", "CMYK", 5],
  [Photometric.cmyk, 8, "0,0", "CMYK", 6],
  [Photometric.cmyk, 16, "", "CMYK", 4],
  [Photometric.yCbCr, 8, "", "YCbCr", 3],
].map((row) => [...row] as [number, number, string, TiffMode, number]);

/** Returns a page's mode; undefined for what Pillow does not read either, or cannot convert to RGB */
export function tiffModeOf(page: TiffPage): TiffMode | undefined {
  const { photometric, bits, samples, sampleFormat, fillOrder, extraSamples } = page;
  if (samples === 1 && extraSamples.length === 0) return singleMode(page);
  if (sampleFormat !== 1) return undefined;
  // Only three samples of RGB may have their bits reversed.
  if (fillOrder !== 1 && !(photometric === Photometric.rgb && samples === 3 && bits === 8)) return undefined;
  const extra = extraSamples.join(",");
  return COLOUR_MODES.find(
    (row) => row[0] === photometric && row[1] === bits && row[2] === extra && row[4] === samples,
  )?.[3];
}

function singleMode({
  photometric,
  bits,
  sampleFormat,
  fillOrder,
  compression,
  directory,
}: TiffPage): TiffMode | undefined {
  const small = [1, 2, 4, 8].includes(bits);
  const gray = photometric === Photometric.whiteIsZero || photometric === Photometric.blackIsZero;
  const black = photometric === Photometric.blackIsZero;
  // Pillow has forgotten this, and another below.
  if (fillOrder === 2 && bits === 8 && !black && gray && compression === Compression.none) return undefined;
  if (sampleFormat === 1 && small && gray) return "gray";
  if (sampleFormat === 1 && small && photometric === Photometric.palette) {
    return fillOrder === 2 && bits < 8 && compression === Compression.none ? undefined : "palette";
  }
  if (fillOrder === 2 && black && bits === 16 && sampleFormat === 1 && directory.littleEndian) return "16-bit gray";
  if (fillOrder !== 1) return undefined;
  if (sampleFormat === 1 && bits === 8 && photometric === Photometric.yCbCr && compression === Compression.none) {
    return "gray";
  }
  if (sampleFormat === 2 && bits === 8 && black) return "gray";
  if (sampleFormat === 1 && bits === 16 && (black || (gray && directory.littleEndian))) return "16-bit gray";
  if (sampleFormat === 2 && bits === 16 && black) return "whole numbers";
  if (sampleFormat === 1 && bits === 32 && black && directory.littleEndian) return "whole numbers";
  if (sampleFormat === 2 && bits === 32 && black) return "whole numbers";
  if (sampleFormat === 3 && bits === 32 && gray) return "floating point";
  return undefined;
}

const UNREADABLE: ReadonlyMap<number, string> = new Map([
  [Compression.oldJpeg, "old-style JPEG compression"],
  [Compression.lzma, "LZMA compression"],
  [Compression.zstd, "ZSTD compression"],
  [Compression.webp, "WebP compression"],
]);
const READABLE: ReadonlySet<number> = new Set([
  Compression.none,
  Compression.ccitt,
  Compression.group3,
  Compression.group4,
  Compression.lzw,
  Compression.jpeg,
  Compression.deflate,
  Compression.oldDeflate,
  Compression.packBits,
]);
const FAX: ReadonlySet<number> = new Set([Compression.ccitt, Compression.group3, Compression.group4]);

/** Colour model and bits of the gray that jimp reads rightly. */
const GRAY_OF_JIMP: ReadonlySet<string> = new Set(["0/1", "1/1", "1/2", "0/4", "0/8", "1/8"]);

/** Returns the kind that decides which decoder reads a page: what is most special about it. One of decoder-table.ts's. */
export function tiffKindOf(page: TiffPage): string {
  const { compression, photometric, bits, samples, fillOrder, planar, directory, predictor } = page;
  const unreadable = UNREADABLE.get(compression);
  if (unreadable !== undefined) return unreadable;
  if (!READABLE.has(compression)) return "unknown compression";
  if (photometric === Photometric.lab) return "Lab";
  const mode = tiffModeOf(page);
  if (mode === undefined) return "unknown samples";
  if (compression === Compression.jpeg) {
    if (planar || bits !== 8) return "unknown samples";
    return `${mode} in JPEG`;
  }
  if (mode === "YCbCr") {
    const subsampling = directory.values(530);
    if (subsampling[0] !== 1 || subsampling[1] !== 1) return "subsampled YCbCr";
    return compression === Compression.none ? "uncompressed YCbCr" : mode;
  }
  if (
    (mode === "whole numbers" || mode === "floating point") &&
    !directory.littleEndian &&
    compression !== Compression.none
  ) {
    return "compressed big-endian numbers";
  }
  if (FAX.has(compression)) return mode === "gray" && bits === 1 ? "fax" : "unknown samples";
  if (![1, 2, 3].includes(predictor)) return "unknown samples";
  if (predictor > 1 && samples > 4) return "unknown samples";
  if (predictor === 3 && mode !== "floating point") return "unknown samples";
  if (fillOrder !== 1) return "reversed bits";
  if (directory.big) return directory.littleEndian ? "BigTIFF" : "big-endian BigTIFF";
  if (planar) return planesAreReadRightly(page, mode) ? "separate planes" : "unusual planes";
  if (mode === "RGB" && samples > 4) return "further samples";
  if (mode === "palette" && samples > 1) return "further samples";
  if (mode === "gray" && !GRAY_OF_JIMP.has(`${photometric}/${bits}`)) return "unusual gray";
  return bits === 16 && mode === "RGB" ? "16-bit RGB" : mode;
}

/** Says whether Pillow takes separate planes for what they are: of some kinds it mixes them up, or refuses them. */
function planesAreReadRightly({ compression, bits, samples, extraSamples }: TiffPage, mode: TiffMode): boolean {
  const extra = extraSamples.join(",");
  if (compression !== Compression.none)
    return !(mode === "RGB" && samples === 4 && extra === "") && !/^[12],/.test(extra);
  return (
    bits === 8 &&
    ((mode === "RGB" && (samples === 3 || extra === "2" || extra === "")) || (mode === "CMYK" && samples === 4))
  );
}
