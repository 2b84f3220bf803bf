/** What becomes of a picture's size: resized, then cropped, then padded, as transformers' image processor does on Pillow. */
import { NeuronBlipError } from "../errors.js";
import type { OwnFloat32Array } from "../util/values.js";

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** How a picture is resized: to a size; or keeping its shape, its shorter edge to a length, or to fit into a size. */
export type ResizeRule =
  | PictureSize
  | { readonly shortestEdge: number; readonly longestEdge?: number | undefined }
  | { readonly maxHeight: number; readonly maxWidth: number };

export interface PictureGeometry extends PictureSize {
  /** Whether a picture of another size is resized. */
  readonly doResize: boolean;
  /** Default: to width and height, which are the result's. */
  readonly resize?: ResizeRule | undefined;
  /** The middle is cut out; what is missing there is black. */
  readonly crop?: PictureSize | undefined;
  /** Zeros are added on the right and below. */
  readonly pad?: PictureSize | undefined;
}

/** The most pixels of a picture on its way: each takes 12 bytes. */
const MOST_PIXELS = 2 ** 26;

/**
 * Computes the size that a picture is resized to: its own where it is not.
 * @throws NeuronBlipError `INVALID_INPUT` for a picture that cannot become what is wanted.
 */
export function resizedSize(shown: PictureSize, geometry: PictureGeometry): PictureSize {
  const { width, height, doResize, resize = { width, height }, crop, pad } = geometry;
  const size = doResize ? sizeBy(resize, shown) : shown;
  if (size.width < 1 || size.height < 1 || size.width * size.height > MOST_PIXELS) {
    throw invalid(shown, `would be resized to ${named(size)}, and ${MOST_PIXELS} pixels can be made at most`);
  }
  const cropped = crop ?? size;
  const isPadded = pad !== undefined && cropped.width <= pad.width && cropped.height <= pad.height;
  if (pad ? isPadded : cropped.width === width && cropped.height === height) return size;
  const why = doResize ? "" : ", and doResize is false";
  throw pad
    ? invalid(shown, `is ${named(cropped)} before it is padded, which is more than the pad_size of ${named(pad)}`)
    : new NeuronBlipError("INVALID_INPUT", `The picture is ${named(cropped)} pixels, not ${width} x ${height}${why}.`);
}

/**
 * Crops and pads pixel values.
 * @param values [3, height, width] of the resized size.
 * @param black the values that a black pixel has in each channel.
 * @returns [3, height, width] of the result's size; the same array where nothing is to be done.
 */
export function cropAndPad(
  values: OwnFloat32Array,
  size: PictureSize,
  { crop, pad }: PictureGeometry,
  black: readonly number[],
): OwnFloat32Array {
  const cropped = crop ? place(values, size, crop, middle(size, crop), black) : values;
  return pad ? place(cropped, crop ?? size, pad, { top: 0, left: 0 }, [0, 0, 0]) : cropped;
}

function sizeBy(rule: ResizeRule, shown: PictureSize): PictureSize {
  if ("shortestEdge" in rule) return byEdges(shown, rule.shortestEdge, rule.longestEdge);
  if ("maxHeight" in rule) {
    const scale = Math.min(rule.maxHeight / shown.height, rule.maxWidth / shown.width);
    return { width: Math.trunc(shown.width * scale), height: Math.trunc(shown.height * scale) };
  }
  return rule;
}

/** Computes the size as transformers' `get_resize_output_image_size` and, with a longest edge, `get_size_with_aspect_ratio` do. */
function byEdges({ width, height }: PictureSize, shortest: number, longest: number | undefined): PictureSize {
  const [short, long] = width <= height ? [width, height] : [height, width];
  let edge = shortest;
  let exact = shortest;
  if (longest !== undefined && (long / short) * shortest > longest) {
    exact = (longest * short) / long;
    edge = roundHalfToEven(exact);
  }
  // The other edge is that of the picture where this one is.
  const isThere = longest !== undefined && short === edge;
  const other = isThere ? long : Math.trunc((exact * long) / short);
  return width <= height ? { width: edge, height: other } : { width: other, height: edge };
}

/** Rounds as Python's `round`. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function middle(size: PictureSize, crop: PictureSize): { top: number; left: number } {
  return { top: Math.floor((size.height - crop.height) / 2), left: Math.floor((size.width - crop.width) / 2) };
}

/** Copies the part of a picture that begins at a place of it, which may lie outside. */
function place(
  values: OwnFloat32Array,
  from: PictureSize,
  to: PictureSize,
  { top, left }: { top: number; left: number },
  outside: readonly number[],
): OwnFloat32Array {
  const placed = new Float32Array(3 * to.width * to.height);
  const begin = Math.max(0, left);
  const end = Math.min(from.width, left + to.width);
  for (const [channel, value] of outside.entries()) {
    const plane = channel * to.width * to.height;
    placed.fill(value, plane, plane + to.width * to.height);
    for (let y = Math.max(0, top); y < Math.min(from.height, top + to.height); y++) {
      const row = (channel * from.height + y) * from.width;
      placed.set(values.subarray(row + begin, row + end), plane + (y - top) * to.width + begin - left);
    }
  }
  return placed;
}

function named({ width, height }: PictureSize): string {
  return `${width} x ${height}`;
}

function invalid(shown: PictureSize, what: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", `A picture of ${named(shown)} pixels ${what}.`);
}
