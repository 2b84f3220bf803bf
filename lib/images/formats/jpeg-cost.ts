import type { JpegScan } from "./jpeg-scans.js";
import type { JpegFrame } from "./jpeg-segments.js";

/** How often an ordinary progressive JPEG goes over its blocks: libjpeg's own script makes 10 scans of three components. */
const ORDINARY_PASSES = 10;
/** In pixels: what a scan costs besides its blocks, and a picture besides its pixels. */
const SCAN = 50_000;
const SMALL_PICTURE = 1_000_000;

/**
 * Estimates the work of decoding, as a multiple of an ordinary JPEG of its size: each scan goes over all blocks of its components
 * again, whether it says anything of them or not, and there may be thousands.
 * @param onScan called for each scan
 */
export function jpegCost(
  scans: Iterable<JpegScan>,
  { width, height, components }: JpegFrame,
  onScan?: (scan: JpegScan) => void,
): number {
  const samples = ({ across, down }: JpegFrame["components"][number]) => Math.max(across * down, 1);
  const all = components.reduce((sum, component) => sum + samples(component), 0);
  const pixels = width * height;
  let work = 0;
  let count = 0;
  for (const scan of scans) {
    onScan?.(scan);
    count++;
    const share = scan.components.reduce((sum, component) => sum + samples(component), 0);
    work += Math.max((pixels * share) / all, SCAN);
  }
  if (count <= ORDINARY_PASSES) return 1;
  return Math.max(1, work / (ORDINARY_PASSES * Math.max(pixels, SMALL_PICTURE)));
}
