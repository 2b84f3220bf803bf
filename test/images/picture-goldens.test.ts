import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { type ImageDecoder, loadImage, NeuronBlipError, type RawImage } from "neuron-blip";
import { fixture } from "../helpers.ts";
import { rgbOf, sha256 } from "./pixels.ts";

/** A file, and what Pillow makes of it: pixels, or an error. */
interface Golden {
  readonly name: string;
  /** In a file of its own, or where it is in the archive. */
  readonly path?: string;
  readonly at: number;
  readonly bytes: number;
  readonly error?: string;
  readonly width: number;
  readonly height: number;
  readonly sha256: string;
  /** Where in the archive the pixels of the first rows are, for formats that may differ. */
  readonly pixelsAt?: number;
}

interface Rule {
  readonly files: RegExp;
  /** What the error must say. */
  readonly says: RegExp;
}

const MOST_ROWS = 48;
const AT_A_TIME = 8;

const needsSharp = (kind: string) => new RegExp(`it is ${kind.replace(/[()]/g, "\\$&")}.*, which .*npm install sharp`);

/** What Pillow reads and we refuse, with an error that says why. Every rule must have files that need it. */
const REFUSED: Readonly<Record<ImageDecoder, readonly Rule[]>> = {
  sharp: [
    // They come out of libvips black, or not at all.
    { files: /^tiff\/.*lzma/, says: /it is a TIFF compressed by LZMA/ },
    { files: /^tiff\/.*zstd/, says: /it is a TIFF compressed by ZSTD/ },
    // Pillow converts them by LittleCMS.
    { files: /^tiff\/LAB-/, says: /it is a TIFF of Lab colours/ },
  ],
  jimp: [
    { files: /^avif\//, says: needsSharp("an AVIF") },
    { files: /^webp\//, says: needsSharp("a WebP") },
    { files: /^jpeg\/.*cmyk/i, says: needsSharp("a CMYK JPEG") },
    { files: /^jpeg\/.*rgb-/i, says: needsSharp("a JPEG of RGB samples") },
    { files: /^jpeg\/arithmetic/, says: needsSharp("an arithmetically coded JPEG") },
    { files: /^jpeg\/scans-/, says: needsSharp("a progressive JPEG without some of its scans") },
    { files: /^jpeg\/restarts-progressive/, says: needsSharp("a JPEG of several scans with restart markers") },
    { files: /^jpeg\/restart-missing/, says: needsSharp("a JPEG without some of its restart markers") },
    { files: /^tiff\/.*lzma/, says: /it is a TIFF compressed by LZMA/ },
    { files: /^tiff\/.*zstd/, says: /it is a TIFF compressed by ZSTD/ },
    { files: /^tiff\/LAB-/, says: /it is a TIFF of Lab colours/ },
    { files: /^tiff\/big-tiff/, says: needsSharp("a BigTIFF") },
    { files: /^tiff\/(?:CMYK|cmyk)-(?!jpeg)/, says: needsSharp("a CMYK TIFF") },
    { files: /^tiff\/CMYK-jpeg/, says: needsSharp("a TIFF of CMYK JPEG data") },
    { files: /^tiff\/(?:RGB-jpeg|jpeg-quality)/, says: needsSharp("a TIFF of RGB JPEG data") },
    { files: /^tiff\/L-jpeg/, says: needsSharp("a TIFF of gray JPEG data") },
    { files: /^tiff\/.*-?gray-16$|^tiff\/I-16/, says: needsSharp("a TIFF of 16-bit gray") },
    { files: /^tiff\/YCbCr-(?!jpeg)/, says: needsSharp("a TIFF of YCbCr samples") },
    { files: /^tiff\/1-(?:tiff_ccitt|group)/, says: needsSharp("a TIFF of fax data (CCITT)") },
    { files: /^tiff\/(?:F-|gray-float)/, says: needsSharp("a TIFF of floating-point numbers") },
    { files: /^tiff\/(?:I-(?!16)|gray-)/, says: needsSharp("a TIFF of signed or 32-bit numbers") },
    { files: /^tiff\/planes/, says: needsSharp("a TIFF of separate colour planes") },
    { files: /^tiff\/(?:rgba-assoc|tiff-own-rgba-assoc)/, says: needsSharp("a TIFF whose colours are multiplied") },
    { files: /^tiff\/.*fill2/, says: needsSharp("a TIFF with its bits in reversed order") },
    {
      files: /^tiff\/PA-/,
      says: needsSharp("a TIFF of further samples"),
    },
    { files: /^png\/png-6300x4200/, says: /6300 x 4200 pixels, more than the 25 million .*npm install sharp/ },
  ],
};

/** How far pixels may be from Pillow's: on average, and at most. */
function allowedDifference(name: string, decoder: ImageDecoder): { mean: number; most: number } {
  if (name.startsWith("avif/")) return /\/42[02]-/.test(name) ? { mean: 2, most: 255 } : { mean: 2, most: 1 };
  if (/^jpeg\/|^tiff\/.*jpeg/.test(name) && decoder === "jimp") {
    // jimp does not smooth 4:2:0 colours: it shows in charts, which these are, more than in photographs.
    return { mean: /\/jpg-(?:exif|garbage)/.test(name) ? 6 : 2, most: 255 };
  }
  return { mean: 0, most: 0 };
}

const { files }: { files: Golden[] } = JSON.parse(readFileSync(fixture("picture-goldens/index.json"), "utf8"));
const archive = gunzipSync(readFileSync(fixture("picture-goldens/archive.gz")));

function fileOf({ path, at, bytes }: Golden): Buffer {
  return path === undefined ? Buffer.from(archive.subarray(at, at + bytes)) : readFileSync(fixture(path));
}

function compare(golden: Golden, decoder: ImageDecoder, image: RawImage): void {
  const { name, width, height, sha256: expected, pixelsAt } = golden;
  const message = `${name} by ${decoder}`;
  assert.equal(golden.error, undefined, `${message}: Pillow refuses it`);
  assert.deepEqual([image.width, image.height], [width, height], message);
  const rgb = image.channels === 3 ? image.data : rgbOf(image);
  const { mean, most } = allowedDifference(name, decoder);
  if (most === 0 || pixelsAt === undefined) {
    assert.equal(sha256(rgb), expected, message);
    return;
  }
  const pixels = archive.subarray(pixelsAt, pixelsAt + 3 * width * Math.min(height, MOST_ROWS));
  let sum = 0;
  for (const [i, level] of pixels.entries()) {
    const difference = Math.abs(level - (rgb[i] as number));
    assert(difference <= most, `${message}: differs by ${difference}`);
    sum += difference;
  }
  assert(sum / pixels.length <= mean, `${message}: differs by ${sum / pixels.length} on average`);
}

/** @returns the rule by which the file is refused, if it is */
async function check(golden: Golden, decoder: ImageDecoder): Promise<Rule | undefined> {
  let image: RawImage;
  try {
    image = await loadImage(fileOf(golden), { decoder });
  } catch (error) {
    const message = `${golden.name} by ${decoder}: ${error}`;
    assert(error instanceof NeuronBlipError, message);
    assert(error.code === "INVALID_IMAGE" || error.code === "IMAGE_TOO_LARGE", message);
    assert(error.message.length <= 1000, message);
    if (golden.error !== undefined) return undefined;
    const rule = REFUSED[decoder].find(({ files }) => files.test(golden.name));
    assert(rule, `${message} (Pillow reads it)`);
    assert.match(error.message, rule.says, golden.name);
    return rule;
  }
  compare(golden, decoder, image);
  return undefined;
}

async function checkAll(format: string, decoder: ImageDecoder): Promise<void> {
  const goldens = files.filter(({ name }) => name.startsWith(`${format}/`));
  const rules = new Set<Rule>();
  for (let at = 0; at < goldens.length; at += AT_A_TIME) {
    const found = await Promise.all(goldens.slice(at, at + AT_A_TIME).map((golden) => check(golden, decoder)));
    for (const rule of found) if (rule) rules.add(rule);
  }
  for (const rule of REFUSED[decoder]) {
    if (!rule.files.source.startsWith(`^${format}\\/`)) continue;
    assert(rules.has(rule), `${rule.files} by ${decoder}: nothing is refused any more`);
  }
}

describe("loadImage beside Pillow", () => {
  const fewest = { jpeg: 70, png: 440, gif: 220, bmp: 430, tiff: 190, webp: 40, avif: 35 };

  it("is compared over files of each format", () => {
    for (const [format, count] of Object.entries(fewest)) {
      const found = files.filter(({ name }) => name.startsWith(`${format}/`)).length;
      assert(found >= count, `${format}: ${found}`);
    }
  });

  for (const format of Object.keys(fewest)) {
    for (const decoder of ["sharp", "jimp"] as const) {
      const how = decoder === "sharp" ? "with sharp" : "without sharp";
      it(`reads ${format} ${how} as Pillow does, or says what it does not read`, async () => {
        await checkAll(format, decoder);
      }).timeout(120_000);
    }
  }
});
