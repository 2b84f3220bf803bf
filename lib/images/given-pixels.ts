/** Pixels that a caller has in memory. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { types } from "node:util";
import { NeuronBlipError } from "../errors.js";
import type { PixelImage } from "../processing/raw-image.js";
import { isWhole, oneLine } from "../util/values.js";
import { kindOf } from "./describe-source.js";
import { copyBytes, type PictureFile } from "./picture-file.js";

/** Bytes of the caller's that are copied in one turn of the event loop: a few milliseconds' work. */
const COPIED_AT_ONCE = 2 ** 22;

/** Of a picture, in pixels: more than any decoder counts. */
const LONGEST_EDGE = 2 ** 31 - 1;

/** What is expected of pixels, before any of it is checked. */
interface UncheckedPixels {
  readonly data?: unknown;
  readonly width?: unknown;
  readonly height?: unknown;
  readonly channels?: unknown;
}

/**
 * Checks pixels.
 * @param name what errors call the picture
 * @returns the same memory, not a copy
 * @throws NeuronBlipError `INVALID_INPUT`
 */
export function checkPixels({ data, width, height, channels }: UncheckedPixels, name: string): PixelImage {
  if (!(types.isUint8Array(data) || types.isUint8ClampedArray(data))) {
    throw invalid(`${name} needs its pixels as a Uint8Array of 8-bit samples, not ${kindOf(data)}.`);
  }
  if (!isWhole(width, 1, LONGEST_EDGE) || !isWhole(height, 1, LONGEST_EDGE)) {
    throw invalid(`${name} has a size of ${sizeOf(width)} x ${sizeOf(height)}: not a picture's.`);
  }
  const pixels = width * height;
  const count = channels ?? data.length / pixels;
  if ((count !== 1 && count !== 2 && count !== 3 && count !== 4) || data.length !== pixels * count) {
    throw invalid(
      `${name} of ${width} x ${height} takes ${pixels * 3} bytes of RGB or ${pixels * 4} of RGBA (or ${pixels} of grey, ` +
        `${pixels * 2} of grey and alpha)${channels === undefined ? "" : `, channels: ${sizeOf(channels)}`}, not ${data.length}.`,
    );
  }
  return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels: count };
}

/**
 * Reads what sharp's `toBuffer({ resolveWithObject: true })` gave: raw pixels of 8 bits, or a file.
 * @throws NeuronBlipError `INVALID_INPUT`
 */
export function readSharpOutput({ data, info }: { data?: unknown; info?: unknown }): PixelImage | PictureFile {
  const name = "The picture in { data, info }";
  const { format, depth, ...size }: UncheckedPixels & { format?: unknown; depth?: unknown } =
    typeof info === "object" && info !== null ? info : {};
  if (typeof format !== "string")
    throw invalid(`${name} is sharp's where info.format is a string, not ${kindOf(format)}.`);
  if (format !== "raw") {
    if (types.isUint8Array(data)) return { bytes: copyBytes(data), name: `${name} (${oneLine(format, 20)})` };
    throw invalid(`${name} needs its ${oneLine(format, 20)} file as a Buffer or Uint8Array, not ${kindOf(data)}.`);
  }
  if (depth !== undefined && depth !== "uchar") {
    throw invalid(
      `${name} has raw samples of depth ${oneLine(String(depth), 20)}, not "uchar": use .raw({ depth: "uchar" }).`,
    );
  }
  return checkPixels({ ...size, data }, name);
}

/** Copies the caller's pixels to memory of our own, a slice in each turn of the event loop. */
export async function copyPixels({ data, ...size }: PixelImage): Promise<PixelImage> {
  const copy = new Uint8Array(size.width * size.height * size.channels);
  for (let at = 0; at < copy.length; at += COPIED_AT_ONCE) {
    await nextTurn();
    if (data.length !== copy.length) {
      throw invalid(
        `The picture's pixels are gone: ${data.length} of ${copy.length} bytes are left. ` +
          "Do not transfer or resize their buffer before the call has ended.",
      );
    }
    copy.set(data.subarray(at, at + COPIED_AT_ONCE), at);
  }
  return { data: copy, ...size };
}

function sizeOf(value: unknown): string {
  return typeof value === "number" ? String(value) : kindOf(value);
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
