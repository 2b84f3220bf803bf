import { availableParallelism } from "node:os";
import { setTimeout } from "node:timers";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { PixelTarget } from "../processing/image-loader.js";
import type { ImageDecoder, PixelImage, RawImage } from "../processing/raw-image.js";
import { Semaphore } from "../util/concurrency.js";
import { DecodeThread } from "./decode-thread.js";
import type { WorkReply, WorkRequest } from "./decode-worker.js";
import { checkPixelLimit } from "./image-size.js";
import type { PictureFile } from "./picture-file.js";
import { sharpPlaces } from "./sharp-places.js";

/** How long a picture may take before its decoder is taken to be lost in damaged data: many times what any picture needs. */
const defaultTimeLimit = (pixels: number) => 8000 + pixels / 1000;

/** At least two, so that a picture whose decoder does not come to an end does not hold up all others. */
const defaultSize = () => Math.max(2, Math.min(availableParallelism(), 4));

/** A first picture that takes longer is not the only one to have a thread. */
const RESERVE_AFTER_MS = 100;

export interface DecodeOptions {
  readonly maxPixels: number;
  readonly decoder: ImageDecoder;
  /** Fails the call at once; a picture that still waits for its turn is not decoded, and the decoder of one that does not is ended. */
  readonly signal?: AbortSignal | undefined;
}

/** What a picture holds while it is worked on. */
interface Held {
  /** Gives back its place among the pictures that are decoded at a time; calling it again does nothing. */
  readonly leaveLane: () => void;
  /** The same, of those in sharp. */
  readonly leaveSharp: () => void;
  /** Whether its place among the others is its own until its thread has done with it. */
  readonly untilFree: boolean;
  readonly pixels?: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Decodes and prepares pictures on worker threads, in the order of the calls, so that the event loop does not wait for them.
 *
 * A picture that is late or aborted holds up no other: its place is free at once, and a thread in reserve, already started, takes the
 * next picture, while its own is ended or, inside sharp, left to return.
 */
export class DecoderPool {
  #size: number;
  readonly #timeLimit: (pixels: number) => number;
  /** Threads without work, those that have worked last at the end. */
  #idle: DecodeThread[] = [];
  readonly #lane: Semaphore;
  /**
   * Pictures that take long are decoded one at a time, beside the others, so that several of them do not take all the memory, nor all
   * places in sharp, which nothing gives back before it returns: quicker ones do not wait for them.
   */
  readonly #slowLane = new Semaphore(1);
  #keepsReserve = false;
  /** What the latest call asked for. */
  #decoder: ImageDecoder = "sharp";

  /**
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
   * Decodes a picture and turns it by its EXIF orientation.
   * @param file given away: its bytes are an empty array afterwards
   * @throws Error that says what is wrong with the file; NeuronBlipError `IMAGE_TOO_LARGE`, before it is decoded, `ABORTED`
   */
  async decode(file: PictureFile, options: DecodeOptions): Promise<RawImage> {
    return imageOf(await this.#decode(file, undefined, options));
  }

  /**
   * Decodes a picture, and makes pixel values of it.
   * @param file given away, as above
   * @returns [3, height, width]
   * @throws as above; NeuronBlipError `INVALID_INPUT` for a picture of another size, where it is not to be resized
   */
  async decodeToValues(file: PictureFile, target: PixelTarget, options: DecodeOptions): Promise<Float32Array> {
    return valuesOf(await this.#decode(file, target, options));
  }

  /**
   * Makes pixel values of pixels.
   * @param image whose memory is given away
   * @returns [3, height, width]
   * @throws NeuronBlipError `INVALID_IMAGE` where the thread fails, `INVALID_INPUT`, `OUT_OF_MEMORY`, `ABORTED`
   */
  async toValues(image: PixelImage, target: PixelTarget, signal?: AbortSignal): Promise<Float32Array> {
    return this.#prepare(image, target, valuesOf, signal);
  }

  /**
   * Makes RGB of grey pixels.
   * @param image whose memory is given away
   */
  async expand(image: PixelImage, signal?: AbortSignal): Promise<RawImage> {
    return this.#prepare(image, undefined, imageOf, signal);
  }

  async #prepare<T>(
    image: PixelImage,
    target: PixelTarget | undefined,
    resultOf: (reply: WorkReply) => T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const leaveLane = await this.#lane.acquire(1, signal);
    const held = { leaveLane, leaveSharp: () => {}, untilFree: false, pixels: image.width * image.height, signal };
    try {
      return resultOf(await this.#run({ source: image, target }, [image.data.buffer as ArrayBuffer], held));
    } catch (error) {
      if (error instanceof NeuronBlipError) throw error;
      throw new NeuronBlipError("INVALID_IMAGE", `Pixels cannot be prepared: ${messageOf(error)}.`, { cause: error });
    }
  }

  async #decode(
    { bytes, name }: PictureFile,
    target: PixelTarget | undefined,
    { maxPixels, decoder, signal }: DecodeOptions,
  ): Promise<WorkReply> {
    this.#decoder = decoder;
    let file = bytes;
    let isSlow = false;
    let needsSharp = false;
    let place: (() => void) | undefined;
    for (;;) {
      // A quick picture waits for sharp before its turn, so that what needs no sharp goes on meanwhile; a slow one in its turn, so that
      // those behind it hold no place.
      if (needsSharp && !isSlow) place = await sharpPlaces.take(signal);
      const leaveLane = await (isSlow ? this.#slowLane : this.#lane).acquire(1, signal).catch((error) => {
        place?.();
        throw error;
      });
      if (needsSharp && isSlow) {
        place = await sharpPlaces.take(signal).catch((error) => {
          leaveLane();
          throw error;
        });
      }
      if (decoder === "sharp") place ??= sharpPlaces.tryTake();
      const request: WorkRequest = {
        source: { file, maxPixels, mayBeSlow: isSlow, decoder, mayUseSharp: place !== undefined },
        target,
      };
      const leaveSharp = place ?? (() => {});
      place = undefined;
      const reply = await this.#run(request, [file.buffer], { leaveLane, leaveSharp, untilFree: isSlow, signal });
      if (reply.kind === "slow") {
        checkPixelLimit(reply.width, reply.height, maxPixels, name);
        isSlow = true;
      } else if (reply.kind === "needs sharp") needsSharp = true;
      else return reply;
      file = reply.file;
    }
  }

  /** Gives a picture to a thread. */
  async #run(request: WorkRequest, transfer: ArrayBuffer[], held: Held): Promise<WorkReply> {
    const { leaveLane, leaveSharp, untilFree, pixels = 0, signal } = held;
    let thread: DecodeThread | undefined;
    try {
      const taken = this.#takeThread();
      thread = taken;
      const onFree = () => {
        if (untilFree) leaveLane();
        this.#giveBack(taken);
      };
      return await taken.run(request, transfer, { pixels, signal, onSharpDone: leaveSharp, onFree });
    } finally {
      // Where no thread could be started, none gives back what it would have held.
      if (thread === undefined) leaveSharp();
      if (!untilFree || thread === undefined) leaveLane();
      // From the first picture's end on; it may have lost its thread.
      this.#keepsReserve = true;
    }
  }

  #takeThread(): DecodeThread {
    this.#idle = this.#idle.filter((thread) => thread.isUsable);
    const thread = this.#idle.pop() ?? this.#startThread();
    if (this.#keepsReserve) this.#startReserve();
    else setTimeout(() => this.#startReserve(), RESERVE_AFTER_MS).unref();
    return thread;
  }

  /** A thread that nobody has given work yet. */
  #startReserve(): void {
    if (this.#idle.length === 0) this.#idle.push(this.#startThread());
  }

  #startThread(): DecodeThread {
    return new DecodeThread(this.#timeLimit, this.#decoder);
  }

  #giveBack(thread: DecodeThread): void {
    if (!thread.isUsable) return;
    if (this.#idle.length <= this.#size) this.#idle.push(thread);
    else thread.end();
  }
}

function imageOf(reply: WorkReply): RawImage {
  if (reply.kind === "image") return reply.image;
  throw failureOf(reply);
}

function valuesOf(reply: WorkReply): Float32Array {
  if (reply.kind === "values") return reply.values;
  throw failureOf(reply);
}

function failureOf(reply: WorkReply): Error {
  if (reply.kind === "error" && reply.code) return new NeuronBlipError(reply.code, reply.reason);
  return new Error(`the decoder replied with ${reply.kind}`);
}
