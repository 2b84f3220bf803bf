import { availableParallelism } from "node:os";
import { setTimeout } from "node:timers";
import { messageOf, NeuronBlipError, throwIfAborted } from "../errors.js";
import type { PixelTarget } from "../processing/image-loader.js";
import type { ImageDecoder, RawImage } from "../processing/raw-image.js";
import { Semaphore } from "../util/concurrency.js";
import { type OwnFloat32Array, oneLine } from "../util/values.js";
import { DecodeThread } from "./decode-thread.js";
import type { WorkRequest, WorkResult } from "./decode-worker.js";
import { kindOf } from "./describe-source.js";
import { copyPixels } from "./given-pixels.js";
import { checkPixelLimit } from "./image-size.js";
import type { OpenedPicture } from "./open-picture.js";
import { shownName } from "./picture-file.js";
import { type Leave, sharpPlaces } from "./sharp-places.js";

/** Returns how long a picture may take before its decoder counts as stuck in damaged data: many times what any picture needs. */
const defaultTimeLimit = (pixels: number) => 8000 + pixels / 1000;

/** Returns at least two, so that a picture whose decoder does not end does not delay all others. */
const defaultSize = () => Math.max(2, Math.min(availableParallelism(), 4));

/** A thread is in reserve from the first picture's end on, or where that takes longer: it may be the only picture. */
const RESERVE_AFTER_MS = 100;

export interface DecodeOptions {
  readonly maxPixels: number;
  /** Default: see chosenDecoder. */
  readonly decoder?: ImageDecoder | undefined;
  /** Fails the call at once; a picture that still waits for its turn is not decoded, and the decoder of one that does not is ended. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decodes and prepares pictures on worker threads, in the order of the calls, so that the event loop does not wait for them.
 *
 * A picture that is late or aborted delays no other: its place is free at once, and a thread in reserve, already started, takes the
 * next picture, while its own is ended or, inside sharp, left to return.
 */
export class DecoderPool {
  #size: number;
  readonly #timeLimit: (pixels: number) => number;
  /** Threads without work, those that have worked last at the end. */
  #idle: DecodeThread[] = [];
  readonly #lane: Semaphore;
  /**
   * Pictures that take long are decoded one at a time, beside the others, so that several of them do not take all the memory, nor
   * all places in sharp, which nothing releases before it returns: quicker ones do not wait for them.
   */
  readonly #slowLane = new Semaphore(1);
  #hasDecoded = false;
  /** What the latest call asked for. */
  #decoder: ImageDecoder = "sharp";

  /**
   * Makes a pool without threads.
   * @param size pictures at a time; their threads start when they are first needed. Default: one for each core, but 2 to 4.
   * @param timeLimit milliseconds that a picture of so many pixels may take
   */
  constructor({ size = defaultSize(), timeLimit = defaultTimeLimit } = {}) {
    this.#size = size;
    this.#timeLimit = timeLimit;
    this.#lane = new Semaphore(size);
  }

  get size(): number {
    return this.#size;
  }

  /** Changes how many pictures are decoded at a time. */
  resize(size: number): void {
    this.#size = size;
    this.#lane.resize(size);
  }

  /**
   * Makes pixels of a picture, 8-bit RGB or RGBA, turned by its EXIF orientation; or, for a target, the model's pixel values: [3,
   * height, width].
   * @param picture a file is given away: its bytes are an empty array afterwards. Pixels are copied.
   * @throws NeuronBlipError `INVALID_IMAGE`; `IMAGE_TOO_LARGE`, before it is decoded; `INVALID_INPUT` for a picture of another size,
   * where it is not to be resized; `OUT_OF_MEMORY`, `ABORTED`
   */
  decode(picture: OpenedPicture, options: DecodeOptions & { target: PixelTarget }): Promise<OwnFloat32Array>;
  decode(picture: OpenedPicture, options: DecodeOptions): Promise<RawImage>;
  async decode(
    picture: OpenedPicture,
    { target, maxPixels, signal, ...options }: DecodeOptions & { target?: PixelTarget },
  ): Promise<RawImage | OwnFloat32Array> {
    const decoder = chosenDecoder(options.decoder);
    this.#decoder = decoder;
    try {
      // At first as one that is quick and needs no place in sharp; where its thread gives it back, once more, as what it is.
      let [mayBeSlow, needsSharp] = [false, false];
      let source: WorkRequest["source"];
      if ("bytes" in picture) source = { file: picture.bytes, maxPixels, mayBeSlow, decoder };
      else source = await copyPixels(picture);
      for (;;) {
        const result = await this.#run(source, target, needsSharp, signal);
        throwIfAborted(signal);
        if (result.kind === "done") return result.made;
        if (result.kind === "slow") checkPixelLimit(result.width, result.height, maxPixels, nameOf(picture));
        mayBeSlow ||= result.kind === "slow";
        needsSharp ||= result.kind === "needs sharp";
        source = { file: result.file, maxPixels, mayBeSlow, decoder };
      }
    } catch (error) {
      if (error instanceof NeuronBlipError) throw error;
      const what = "bytes" in picture ? `${nameOf(picture)} cannot be decoded` : "Pixels cannot be prepared";
      const reason = oneLine(messageOf(error), 600);
      const end = reason.endsWith(".") ? "" : ".";
      throw new NeuronBlipError("INVALID_IMAGE", `${what}: ${reason}${end}`, { cause: error });
    }
  }

  /**
   * Gives a picture to a thread, in its turn. Its place among the others is free when the call ends, but that of a slow one when its
   * thread has done with it; its place in sharp, when sharp has.
   */
  async #run(
    source: WorkRequest["source"],
    target: PixelTarget | undefined,
    needsSharp: boolean,
    signal: AbortSignal | undefined,
  ): Promise<WorkResult> {
    const isSlow = "file" in source && source.mayBeSlow;
    let leaveSharp: Leave | undefined;
    let leaveLane: Leave | undefined;
    let result: Promise<WorkResult>;
    try {
      // A quick picture waits for sharp before its turn, so that what needs no sharp goes on meanwhile; a slow one in its turn, so that
      // those behind it hold no place.
      if (needsSharp && !isSlow) leaveSharp = await sharpPlaces.take(signal);
      leaveLane = await (isSlow ? this.#slowLane : this.#lane).acquire(1, signal);
      if (needsSharp && isSlow) leaveSharp = await sharpPlaces.take(signal);
      if ("file" in source && source.decoder === "sharp") leaveSharp ??= sharpPlaces.tryTake();
      const thread = this.#takeThread();
      const onFree = () => {
        leaveSharp?.();
        leaveLane?.();
        if (!thread.isUsable) return;
        if (this.#idle.length <= this.#size) this.#idle.push(thread);
        else thread.end();
      };
      const request = { source, target, mayUseSharp: leaveSharp !== undefined };
      result = thread.run(request, { signal, onSharpDone: leaveSharp, onFree });
    } catch (error) {
      leaveSharp?.();
      leaveLane?.();
      throw error;
    }
    try {
      return await result;
    } finally {
      if (!isSlow) leaveLane();
      this.#hasDecoded = true;
    }
  }

  /** Returns an idle thread or a new one. Soon starts another where none is left in reserve. */
  #takeThread(): DecodeThread {
    this.#idle = this.#idle.filter((thread) => thread.isUsable);
    const thread = this.#idle.pop() ?? new DecodeThread(this.#timeLimit, this.#decoder);
    setTimeout(
      () => {
        try {
          if (this.#idle.length === 0) this.#idle.push(new DecodeThread(this.#timeLimit, this.#decoder));
        } catch {
          // The system has no thread left: a picture that has none is told.
        }
      },
      this.#hasDecoded ? 0 : RESERVE_AFTER_MS,
    ).unref();
    return thread;
  }
}

function nameOf(picture: OpenedPicture): string {
  return "bytes" in picture ? shownName(picture.name) : "The picture";
}

/**
 * Chooses sharp or not: what NEURON_BLIP_DECODER says where a call does not.
 * @throws NeuronBlipError `INVALID_INPUT`
 */
export function chosenDecoder(given: ImageDecoder | undefined): ImageDecoder {
  const chosen: unknown = given ?? (process.env.NEURON_BLIP_DECODER || "sharp");
  if (chosen === "sharp" || chosen === "jimp") return chosen;
  const name = given === undefined ? "NEURON_BLIP_DECODER" : "decoder";
  const got = typeof chosen === "string" ? `"${oneLine(chosen, 60)}"` : kindOf(chosen);
  const message = `${name} must be "sharp" (used where it is installed) or "jimp", not ${got}.`;
  throw new NeuronBlipError("INVALID_INPUT", message);
}

/** What decodes the pictures of this thread of the process. */
export const decoderPool = new DecoderPool();
