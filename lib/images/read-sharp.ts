/** Pictures that are pipelines of the caller's own sharp. */
import { messageOf, NeuronBlipError, throwIfAborted } from "../errors.js";
import type { SharpLike } from "../processing/image-source.js";
import type { PixelImage } from "../processing/raw-image.js";
import { untilAborted } from "../util/concurrency.js";
import { oneLine } from "../util/values.js";
import { type ArrivalLimits, withinTime } from "./arriving-bytes.js";
import { kindOf } from "./describe-source.js";
import { readSharpOutput } from "./given-pixels.js";
import { checkPixelLimit } from "./image-size.js";
import type { PictureFile } from "./picture-file.js";
import { sharpPlaces } from "./sharp-places.js";

const NAME = "The sharp instance's picture";

export function isSharp(value: object): value is SharpLike {
  return ["toBuffer", "metadata", "clone", "raw"].every((method) => typeof Reflect.get(value, method) === "function");
}

/**
 * Runs a sharp pipeline to its pixels, by a clone.
 * @throws NeuronBlipError `INVALID_IMAGE` for what sharp says, `IMAGE_TOO_LARGE` where its input declares too many pixels, `ABORTED`
 */
export async function readSharp(
  instance: SharpLike,
  { maxPixels, ...limits }: ArrivalLimits & { readonly maxPixels: number },
): Promise<PixelImage | PictureFile> {
  throwIfAborted(limits.signal);
  // One whose input came by a stream, which has ended, waits in vain for that as a clone.
  const pipeline = "writableFinished" in instance && instance.writableFinished ? instance : instance.clone();
  try {
    const output = await withinTime(limits, NAME, async () => {
      const { width = 0, height = 0 } = await inSharp(() => pipeline.metadata(), limits.signal);
      checkPixelLimit(width, height, maxPixels, NAME);
      return inSharp(() => pipeline.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true }), limits.signal);
    });
    if (typeof output !== "object" || output === null) throw new Error(`it gave ${kindOf(output)}`);
    return readSharpOutput(output);
  } catch (error) {
    if (error instanceof NeuronBlipError) throw error;
    const [firstLine = ""] = messageOf(error).split("\n");
    const reason = oneLine(firstLine, 300);
    throw new NeuronBlipError("INVALID_IMAGE", `${NAME} cannot be decoded: ${reason}.`, { cause: error });
  }
}

/** Works in sharp. The place is held until sharp has returned, whoever still waits. */
async function inSharp<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const leave = await sharpPlaces.take(signal);
  return untilAborted(work().finally(leave), signal);
}
