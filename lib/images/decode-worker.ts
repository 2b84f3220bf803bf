/** The worker thread that decodes pictures and prepares them for the model; its other side is decode-thread.ts. */

import { parentPort, workerData } from "node:worker_threads";
import { messageOf, NeuronBlipError, type NeuronBlipErrorCode } from "../errors.js";
import type { PixelTarget } from "../processing/image-loader.js";
import { cropAndPad, resizedSize } from "../processing/picture-geometry.js";
import {
  expandGrey,
  type ImageDecoder,
  type PixelImage,
  type RawImage,
  type StoredImage,
} from "../processing/raw-image.js";
import { native } from "../torch/native.js";
import { itemAt } from "../util/item-at.js";
import type { OwnFloat32Array, OwnUint8Array } from "../util/values.js";
import { decodeImage, takesLong } from "./decode-image.js";
import type { DecoderName } from "./decoder-table.js";
import { applyOrientation } from "./formats/orientation.js";
import { readImageHeader } from "./image-size.js";
import { jimpFormat } from "./jimp-formats.js";
import { loadSharp } from "./sharp.js";
import { ThreadState } from "./thread-state.js";

/** An encoded picture. */
export interface DecodeRequest {
  readonly file: OwnUint8Array;
  /** A picture that declares more is returned undecoded. */
  readonly maxPixels: number;
  /** Whether it may take long; one that does and may not is returned undecoded. */
  readonly mayBeSlow: boolean;
  readonly decoder: ImageDecoder;
}

/** What to work on, and what to make of it: pixel values, or the picture's pixels where there is no target. */
export interface WorkRequest {
  readonly source: DecodeRequest | PixelImage;
  readonly target: PixelTarget | undefined;
  /** Whether it has a place in sharp; a picture that needs one is returned undecoded. */
  readonly mayUseSharp: boolean;
}

/** What became of a picture: the last reply. */
export type WorkResult =
  /** It declares more pixels, or takes longer, than it may; here is its file. */
  | { readonly kind: "slow"; readonly width: number; readonly height: number; readonly file: OwnUint8Array }
  /** It needs a place in sharp; here is its file. */
  | { readonly kind: "needs sharp"; readonly file: OwnUint8Array }
  /** The picture's pixels, or, for a target, its pixel values: [3, height, width]. */
  | { readonly kind: "done"; readonly made: RawImage | OwnFloat32Array };

export type WorkReply =
  /** Its decoder is loaded: what takes time from now on is the picture's. Another reply follows, where a picture is waiting. */
  | { readonly kind: "ready" }
  /** The picture's declared size. Another reply follows. */
  | { readonly kind: "header"; readonly width: number; readonly height: number }
  /** Sharp does not work on it, or not any more. Another reply follows. */
  | { readonly kind: "sharp done" }
  /** Of the thread's installation, for the user. Another reply follows. */
  | { readonly kind: "warning"; readonly message: string; readonly code: string }
  | WorkResult
  /** `code` is that of an error which is not the file's. */
  | { readonly kind: "error"; readonly reason: string; readonly code?: NeuronBlipErrorCode; readonly cause?: unknown };

/** What a thread is given when it starts. */
export interface DecodeThreadData {
  /** Its ThreadState. */
  readonly state: Int32Array;
  /** Loaded ahead of the first picture. */
  readonly decoder: ImageDecoder;
}

const { state, decoder: firstDecoder } = workerData as DecodeThreadData;

// What is wrong with them, the first picture tells.
const loading: Promise<unknown> = firstDecoder === "sharp" ? loadSharp(warn) : jimpFormat("image/jpeg");
const ready = loading.catch(() => {}).then(() => reply({ kind: "ready" }));

// jimp's TIFF decoder prints to the console about what it finds; the process's output is not theirs.
console.log = () => {};

parentPort?.on("message", async ({ source, target, mayUseSharp }: WorkRequest) => {
  if ("file" in source) await ready;
  try {
    const stored = "file" in source ? await decode(source, mayUseSharp) : { ...expandGrey(source), orientation: 1 };
    if (stored === undefined) return;
    if (target) replyWithValues(stored, target);
    else replyWithImage(stored);
  } catch (error) {
    reply({
      kind: "error",
      reason: messageOf(error),
      ...(error instanceof NeuronBlipError && { code: error.code }),
    });
  }
});

/** Decodes a picture; undefined where it was returned undecoded. */
async function decode(
  { file, maxPixels, mayBeSlow, decoder }: DecodeRequest,
  mayUseSharp: boolean,
): Promise<StoredImage | undefined> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const header = readImageHeader(bytes);
  const { width, height } = header;
  if (width * height > maxPixels || (!mayBeSlow && takesLong(header))) {
    reply({ kind: "slow", width, height, file }, [file.buffer]);
    return undefined;
  }
  reply({ kind: "header", width, height });
  let needsSharp = false;
  const onDecoder = (name: DecoderName) => {
    if (name === "sharp" && mayUseSharp) return enterSharp();
    needsSharp = name === "sharp";
    if (needsSharp) throw new Error("it has no place in sharp");
    reply({ kind: "sharp done" });
  };
  try {
    return await decodeImage(bytes, header, { maxPixels, decoder, mayUseSharp, warn, onDecoder });
  } catch (error) {
    if (needsSharp) {
      reply({ kind: "needs sharp", file }, [file.buffer]);
      return undefined;
    }
    // Whatever a decoder calls its errors, they are about the file.
    throw new Error(messageOf(error), { cause: error });
  } finally {
    leaveSharp();
  }
}

function warn(message: string, code: string): void {
  reply({ kind: "warning", message, code });
}

function enterSharp(): void {
  const { interruptible, inSharp } = ThreadState;
  const was = Atomics.compareExchange(state, 0, interruptible, inSharp);
  if (was !== interruptible) throw new Error("nobody waits for it any more");
}

/** Marks that sharp has ended. @throws Error where nobody waits for the picture any more: what is left of the work is not done. */
function leaveSharp(): void {
  const { interruptible, inSharp, abandoned } = ThreadState;
  const was = Atomics.compareExchange(state, 0, inSharp, interruptible);
  if (was === inSharp) reply({ kind: "sharp done" });
  if (was === abandoned) throw new Error("nobody waits for it any more");
}

function replyWithValues({ data, width, height, channels, orientation }: StoredImage, target: PixelTarget): void {
  const [shownWidth, shownHeight] = orientation >= 5 ? [height, width] : [width, height];
  const size = resizedSize({ width: shownWidth, height: shownHeight }, target);
  const { tables } = target;
  const { preparePixels } = native();
  const resized = preparePixels(data, width, height, channels, orientation, size.width, size.height, tables);
  const values = cropAndPad(
    resized,
    size,
    target,
    [0, 256, 512].map((black) => itemAt(tables, black)),
  );
  reply({ kind: "done", made: values }, [values.buffer]);
}

function replyWithImage(stored: StoredImage): void {
  const { data, ...image } = applyOrientation(stored);
  // Only memory of its own can change threads: a Buffer may share Node's pool, or belong to a decoder.
  const own = Buffer.isBuffer(data) ? new Uint8Array(data) : data;
  reply({ kind: "done", made: { ...image, data: own } }, [own.buffer as ArrayBuffer]);
}

function reply(message: WorkReply, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
