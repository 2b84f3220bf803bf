/** Which decoder reads which kind of picture. Nothing else decides it, and nothing falls back from one decoder to another. */
import { FORMAT_NAMES, type ImageFormat } from "./formats/codec.js";

export type DecoderName = "sharp" | "jimp" | "own";

/** A kind that is not decoded, and how to say so after "it is". */
export interface Refusal {
  readonly refused: string;
}

export interface DecoderRow {
  readonly format: ImageFormat;
  /** What the format's `readHeader` calls it. */
  readonly kind: string;
  readonly withSharp: DecoderName | Refusal;
  readonly withoutSharp: DecoderName | Refusal;
  /** While sharp has no place; where it is absent the picture waits for one. */
  readonly whileSharpIsBusy?: DecoderName;
  readonly why: string;
}

/** Says what the picture is, and that sharp would read it. */
const needsSharp = (what: string): Refusal => ({
  refused:
    `${what}, which only sharp decodes here: install it (\`npm install sharp\`), ` +
    "or convert the picture to an 8-bit RGB PNG",
});

const readByBoth = (format: ImageFormat, kinds: readonly string[]): DecoderRow[] =>
  kinds.map((kind) => ({ format, kind, withSharp: "sharp", withoutSharp: "jimp", why: EXACT }));

const needSharp = (
  format: ImageFormat,
  kinds: readonly (readonly [kind: string, what: string, why: string])[],
): DecoderRow[] =>
  kinds.map(([kind, what, why]) => ({ format, kind, withSharp: "sharp", withoutSharp: needsSharp(what), why }));

/** Refuses kinds that no decoder reads here, whatever is installed. */
const refusedByAll = (format: ImageFormat, kinds: readonly (readonly [kind: string, what: string])[]): DecoderRow[] =>
  kinds.map(([kind, what]) => {
    const refused = { refused: `${what}, which is not decoded here: convert it to an 8-bit RGB PNG` };
    return { format, kind, withSharp: refused, withoutSharp: refused, why: "no decoder here reads it as Pillow does" };
  });

const EXACT = "sharp gives Pillow's pixels, several times faster than jimp";

export const decoderTable: readonly DecoderRow[] = [
  { format: "jpeg", kind: "gray", withSharp: "sharp", withoutSharp: "jimp", why: EXACT },
  { format: "jpeg", kind: "YCbCr", withSharp: "sharp", withoutSharp: "jimp", why: EXACT },
  {
    format: "jpeg",
    kind: "RGB",
    withSharp: "sharp",
    withoutSharp: needsSharp("a JPEG of RGB samples"),
    why: "jimp takes the samples for YCbCr",
  },
  {
    format: "jpeg",
    kind: "CMYK",
    withSharp: "sharp",
    withoutSharp: needsSharp("a CMYK JPEG"),
    why: "read as CMYK from sharp and converted by Pillow's formula; jimp's is another, and it needs Adobe's marker",
  },
  {
    format: "jpeg",
    kind: "arithmetic coding",
    withSharp: "sharp",
    withoutSharp: needsSharp("an arithmetically coded JPEG"),
    why: "jimp does not know it",
  },
  ...needSharp("jpeg", [
    ["missing scans", "a progressive JPEG without some of its scans", "libjpeg smooths what is missing, jimp does not"],
    [
      "restarts in several scans",
      "a JPEG of several scans with restart markers",
      "jimp looks for them where they are not",
    ],
    [
      "missing restarts",
      "a JPEG without some of its restart markers",
      "jimp shows other pixels in the place of damage",
    ],
    ["repeated components", "a JPEG with components of the same name", "jimp takes the last for all of them"],
    ["reduced luminance", "a JPEG whose brightness is subsampled", "jimp shifts the colours"],
  ]),
  ...refusedByAll("jpeg", [
    ["more than 8 bits", "a JPEG of more than 8 bits per sample"],
    ["lossless or hierarchical", "a lossless or hierarchical JPEG"],
  ]),
  {
    format: "png",
    kind: "8-bit",
    withSharp: "sharp",
    withoutSharp: "own",
    whileSharpIsBusy: "own",
    why:
      "sharp gives Pillow's pixels, and what it objects to (a wrong checksum, missing rows) our own decoder reads as Pillow does; " +
      "both give the same, so that none waits for sharp; jimp shows memory of the process in missing rows",
  },
  {
    format: "png",
    kind: "16-bit",
    withSharp: "own",
    withoutSharp: "own",
    why: "sharp scales 16 bits by another rule than Pillow; jimp takes an array element a sample, which ends the process",
  },
  {
    format: "png",
    kind: "short palette",
    withSharp: "own",
    withoutSharp: "own",
    why: "Pillow shows colours that are not in the palette black; sharp and jimp do not",
  },
  {
    format: "png",
    kind: "small first frame",
    withSharp: "own",
    withoutSharp: "own",
    why: "Pillow puts an animation's first frame where it belongs; sharp and jimp take it for the picture",
  },
  {
    format: "gif",
    kind: "any",
    withSharp: "own",
    withoutSharp: "own",
    why:
      "one frame is needed, whatever is behind it; sharp blackens transparent colours and has other rules for small, offset and " +
      "palette-less frames, jimp never returns from codes that name themselves",
  },
  { format: "bmp", kind: "any", withSharp: "own", withoutSharp: "own", why: "sharp has no BMP; jimp gets kinds wrong" },
  ...readByBoth("tiff", ["gray", "palette", "RGB", "16-bit RGB", "YCbCr in JPEG"]),
  ...needSharp("tiff", [
    ["16-bit gray", "a TIFF of 16-bit gray", "Pillow cuts values at 255, jimp takes the higher byte"],
    ["associated alpha", "a TIFF whose colours are multiplied by their alpha", "Pillow divides by it, jimp does not"],
    ["CMYK", "a CMYK TIFF", "jimp does not know it"],
    ["YCbCr", "a TIFF of YCbCr samples", "jimp does not convert it"],
    ["whole numbers", "a TIFF of signed or 32-bit numbers", "jimp does not know it"],
    ["floating point", "a TIFF of floating-point numbers", "jimp does not know it"],
    ["gray in JPEG", "a TIFF of gray JPEG data", "jimp takes it for colour"],
    ["RGB in JPEG", "a TIFF of RGB JPEG data", "jimp takes it for YCbCr"],
    ["CMYK in JPEG", "a TIFF of CMYK JPEG data", "jimp does not know it"],
    ["fax", "a TIFF of fax data (CCITT)", "jimp's decoder runs wild on damaged data"],
    ["unusual gray", "a TIFF of 2 or 4 bits of gray", "jimp takes black for white, or scales them wrongly"],
    ["reversed bits", "a TIFF with its bits in reversed order", "jimp does not turn them"],
    ["separate planes", "a TIFF of separate colour planes", "jimp takes them for pixels"],
    ["further samples", "a TIFF of further samples", "jimp takes them for others"],
    ["BigTIFF", "a BigTIFF", "jimp does not know it"],
  ]),
  ...refusedByAll("tiff", [
    ["old-style JPEG compression", "a TIFF of old-style JPEG data"],
    ["LZMA compression", "a TIFF compressed by LZMA"],
    ["ZSTD compression", "a TIFF compressed by ZSTD"],
    ["WebP compression", "a TIFF of WebP data"],
    ["unknown compression", "a TIFF of an unknown compression"],
    ["Lab", "a TIFF of Lab colours"],
    ["uncompressed YCbCr", "a TIFF of uncompressed YCbCr, which Pillow does not read, or takes for RGB"],
    ["big-endian BigTIFF", "a big-endian BigTIFF, which Pillow does not read either"],
    ["compressed big-endian numbers", "a TIFF of compressed big-endian numbers, which Pillow reads wrongly"],
    ["palette in JPEG", "a TIFF of palette indices in JPEG data"],
    ["associated alpha in JPEG", "a TIFF of JPEG data whose colours are multiplied by their alpha"],
    ["unusual planes", "a TIFF of separate colour planes that Pillow does not read, or mixes up"],
    ["subsampled YCbCr", "a TIFF of subsampled YCbCr without JPEG"],
    ["unknown samples", "a TIFF with an unusual kind of samples"],
  ]),
  { format: "webp", kind: "any", withSharp: "sharp", withoutSharp: needsSharp("a WebP"), why: "jimp has no WebP" },
  { format: "avif", kind: "AV1", withSharp: "sharp", withoutSharp: needsSharp("an AVIF"), why: "jimp has no AVIF" },
  ...refusedByAll("avif", [
    ["associated alpha", "an AVIF whose colours are multiplied by their alpha"],
    ["cropped", "an AVIF that is to be cropped, which Pillow does not do"],
    [
      "too much memory",
      "an AVIF of so many pixels, not subsampled or of more than 8 bits, that decoding it takes too much memory",
    ],
    ["HEVC", "a HEIC picture"],
    ["other coding", "an AVIF of an unknown coding"],
  ]),
];

/**
 * Chooses the decoder of a kind.
 * @throws Error that says why there is none
 */
export function chooseDecoder(format: ImageFormat, kind: string, sharp: "free" | "busy" | "missing"): DecoderName {
  const row = decoderTable.find((row) => row.format === format && row.kind === kind);
  const withSharp = sharp === "busy" ? (row?.whileSharpIsBusy ?? row?.withSharp) : row?.withSharp;
  const choice = sharp === "missing" ? row?.withoutSharp : withSharp;
  if (choice === undefined) throw new Error(`it is a kind of ${FORMAT_NAMES[format]} that is not supported (${kind})`);
  if (typeof choice !== "string") throw new Error(`it is ${choice.refused}`);
  return choice;
}
