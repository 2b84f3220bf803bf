import type { JpegFrame } from "./jpeg-segments.js";

/** How often an ordinary progressive JPEG goes over its blocks: libjpeg's own script makes 10 scans of three components. */
const ORDINARY_PASSES = 10;
const PROGRESSIVE: ReadonlySet<number> = new Set([0xc2, 0xc6, 0xca, 0xce]);
const SCAN_MARKER = Buffer.of(0xff, 0xda);
/** In pixels: what a scan costs besides its blocks, and a picture besides its pixels. */
const SCAN = 50_000;
const SMALL_PICTURE = 1_000_000;

/**
 * What decoding takes, as a multiple of an ordinary JPEG of its size: each scan goes over all blocks of its components again,
 * whether it says anything of them or not, and there may be thousands.
 * @param scan where the first scan's marker is
 */
export function jpegCost(file: Buffer, scan: number, { marker, width, height, components }: JpegFrame): number {
  // A sequential picture is over after a scan of all its components.
  if (!PROGRESSIVE.has(marker) && file[scan + 4] === components.length) return 1;
  if (countUpTo(ORDINARY_PASSES, file, scan) <= ORDINARY_PASSES) return 1;
  const samples = components.map(({ across, down }) => Math.max(across * down, 1));
  const all = samples.reduce((sum, share) => sum + share, 0);
  const pixels = width * height;
  let work = 0;
  for (const ids of scans(file, scan)) {
    const share = components.reduce((sum, { id }, i) => (ids.includes(id) ? sum + (samples[i] as number) : sum), 0);
    work += Math.max((pixels * share) / all, SCAN);
  }
  return Math.max(1, work / (ORDINARY_PASSES * Math.max(pixels, SMALL_PICTURE)));
}

/** How many scans there are at most, in the picture and behind it: quickly. */
function countUpTo(most: number, file: Buffer, start: number): number {
  let count = 0;
  for (let at = start; at >= 0 && count <= most; at = file.indexOf(SCAN_MARKER, at + 2)) count++;
  return count;
}

/** The components' ids of each scan, up to the picture's end. */
function* scans(file: Buffer, start: number): Generator<Buffer> {
  for (let at = start; at >= 0 && at + 4 <= file.length; ) {
    const marker = file[at + 1] as number;
    if (marker === 0xd9) return;
    // Fill bytes, escaped bytes and restarts have no length.
    if (marker === 0xff) at++;
    else if (marker === 0 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else {
      if (marker === 0xda) {
        const count = Math.min(file[at + 4] ?? 0, 4);
        yield Buffer.from(Array.from({ length: count }, (_, i) => file[at + 5 + 2 * i] ?? 0));
      }
      at += 2 + file.readUInt16BE(at + 2);
    }
    at = file.indexOf(0xff, at);
  }
}
