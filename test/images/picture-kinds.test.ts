import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { loadImage, NeuronBlipError } from "neuron-blip";
import { fixture } from "../helpers.ts";
import { rgbOf, sha256 } from "./pixels.ts";

/** A file and what Pillow makes of it: pixels, or an error. */
interface Kind {
  readonly file: string;
  readonly error?: string;
  readonly width: number;
  readonly height: number;
  readonly sha256: string;
  /** Where decoders need not agree to the bit. */
  readonly rgb?: string;
}

const { files }: { files: Record<string, Kind> } = JSON.parse(readFileSync(fixture("picture-kinds.json"), "utf8"));
const kinds = Object.entries(files);

/** Files that Pillow reads and we refuse, by how the error names the kind. */
const REFUSED: readonly [RegExp, RegExp][] = [
  [/^lzma\.tif$/, /compressed by LZMA/],
  [/^zstd\.tif$/, /compressed by ZSTD/],
  [/^rgbxx-8-deflate-differences\.tif$/, /unusual kind of samples/],
  [/^(signed|float)-.*big-endian-strips\.tif$/, /unusual kind of samples|big-endian/],
  [/^ycbcr(-big|-big-endian-strips)?\.tif$/, /uncompressed YCbCr/],
  [/^premultiplied\.avif$/, /multiplied by their alpha/],
];

type Outcome = "exact" | "close" | "refused";

async function outcomeOf([name, kind]: [string, Kind], decoder: "sharp" | "jimp"): Promise<Outcome> {
  let image: Awaited<ReturnType<typeof loadImage>>;
  try {
    image = await loadImage(Buffer.from(kind.file, "base64"), { decoder });
  } catch (error) {
    assert(error instanceof NeuronBlipError && error.code === "INVALID_IMAGE", `${name}: ${error}`);
    if (kind.error !== undefined) return "refused";
    if (decoder === "jimp" && /npm install sharp/.test(error.message)) return "refused";
    // libjpeg fills up what is missing before the end's marker, jimp does not.
    if (decoder === "jimp" && name === "cut-with-end.jpg") return "refused";
    const expected = REFUSED.find(([names]) => names.test(name))?.[1];
    assert(expected?.test(error.message), `${name} is refused: ${error.message}`);
    return "refused";
  }
  assert.equal(kind.error, undefined, `${name} is decoded, which Pillow refuses: ${kind.error}`);
  assert.deepEqual([image.width, image.height], [kind.width, kind.height], name);
  const rgb = rgbOf(image);
  if (sha256(rgb) === kind.sha256) return "exact";
  if (name.startsWith("exif-")) {
    assert.equal(decoder, "jimp", name); // the size has shown that it is turned
    return "close";
  }
  assert(kind.rgb, `${name} has other pixels than Pillow's`);
  const wanted = Buffer.from(kind.rgb, "base64");
  const differences = Array.from(rgb, (value, i) => Math.abs(value - (wanted[i] as number)));
  const most = Math.max(...differences);
  const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
  const subsampled = !/444|gray|orientation|xmp/.test(name);
  if (name.endsWith(".avif"))
    assert(subsampled ? mean <= 2 : most <= 1, `${name}: ${most} at most, ${mean} in the mean`);
  else assert(decoder === "jimp" && mean <= (subsampled ? 6 : 2), `${name}: ${most} at most, ${mean} in the mean`);
  return "close";
}

async function tally(ending: RegExp, decoder: "sharp" | "jimp"): Promise<Record<Outcome, number>> {
  const counts = { exact: 0, close: 0, refused: 0 };
  for (const entry of kinds) if (ending.test(entry[0])) counts[await outcomeOf(entry, decoder)]++;
  return counts;
}

describe("pictures of every kind, compared with Pillow", () => {
  it("JPEG with sharp: Pillow's pixels, turned as Pillow turns them", async () => {
    const { exact, close, refused } = await tally(/\.jpg$/, "sharp");
    assert(exact > 80 && close === 0 && refused <= 4, JSON.stringify({ exact, close, refused }));
  });

  it("TIFF with sharp: Pillow's pixels, or an error that names the kind", async () => {
    const { exact, close, refused } = await tally(/\.tif$/, "sharp");
    assert(exact > 180 && close === 0 && refused < 40, JSON.stringify({ exact, close, refused }));
  });

  it("WebP and AVIF with sharp: Pillow's pixels, AVIF within a level, or two in the mean where it is subsampled", async () => {
    const webp = await tally(/\.webp$/, "sharp");
    assert(webp.exact >= 9 && webp.close === 0 && webp.refused === 1, JSON.stringify(webp));
    const avif = await tally(/\.avif$/, "sharp");
    assert(avif.exact + avif.close >= 11 && avif.refused === 2, JSON.stringify(avif));
  });

  it("without sharp: the right pixels, or an error that names the kind and how to install sharp", async () => {
    const jpeg = await tally(/\.jpg$/, "jimp");
    assert(jpeg.exact + jpeg.close > 70, JSON.stringify(jpeg));
    const tiff = await tally(/\.tif$/, "jimp");
    assert(tiff.exact > 60 && tiff.refused > 100, JSON.stringify(tiff));
    const others = await tally(/\.(webp|avif)$/, "jimp");
    assert.equal(others.exact + others.close, 0);
  });
});
