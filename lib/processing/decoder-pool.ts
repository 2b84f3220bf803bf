import { availableParallelism } from "node:os";
import { NeuronBlipError, type NeuronBlipErrorCode, throwIfAborted } from "../errors.js";
import { untilAborted } from "../runtime/abort.js";
import type { ImageDecoder } from "./decode-image.js";
import { DecodeThread } from "./decode-thread.js";
import type { PixelTarget, WorkReply, WorkRequest } from "./decode-worker.js";
import { checkPixelLimit } from "./image-size.js";
import type { PictureFile } from "./picture-file.js";
import type { RawImage } from "./raw-image.js";

/**
 * Pictures of more pixels are decoded one at a time, on a thread of their own, so that several of them do not take all the
 * memory, and smaller ones do not wait for them.
 */
const LARGE_PICTURE = 2 ** 25;

/** How long a picture may take before its decoder is taken to be lost in damaged data: many times what any picture needs. */
const defaultTimeLimit = (pixels: number) => 10_000 + pixels / 100;

/** At least two, so that a picture whose decoder does not come to an end does not hold up all others. */
const defaultSize = () => Math.max(2, Math.min(availableParallelism(), 4));

export interface DecodeOptions {
  readonly maxPixels: number;
  readonly decoder: ImageDecoder;
  /** Fails the call at once; a picture that still waits for its turn is not decoded. */
  readonly signal?: AbortSignal | undefined;
}

/** Decodes and prepares pictures on worker threads, in the order of the calls, so that the event loop does not wait for them. */
export class DecoderPool {
  readonly size: number;
  readonly #idle: DecodeThread[];
  readonly #waiting: ((thread: DecodeThread) => void)[] = [];
  readonly #large: DecodeThread;
  #lastLarge: Promise<unknown> = Promise.resolve();

  /**
   * @param size threads, which start when they are first needed. Default: one for each core, but 2 to 4.
   * @param timeLimit milliseconds that a picture of so many pixels may take
   */
  constructor({ size = defaultSize(), timeLimit = defaultTimeLimit } = {}) {
    this.size = size;
    this.#idle = Array.from({ length: size }, () => new DecodeThread(timeLimit));
    this.#large = new DecodeThread(timeLimit);
  }

  /**
   * Decodes a picture and turns it by its EXIF orientation.
   * @param file given away: its bytes are an empty array afterwards
   * @throws Error that says what is wrong with the file; NeuronBlipError `IMAGE_TOO_LARGE`, before it is decoded, `ABORTED`
   */
  async decode(file: PictureFile, options: DecodeOptions): Promise<RawImage> {
    return (await this.#decode(file, undefined, options)) as RawImage;
  }

  /**
   * Decodes a picture, and makes pixel values of it.
   * @param file given away, as above
   * @returns [3, height, width]
   * @throws as above; NeuronBlipError `INVALID_INPUT` for a picture of another size, where it is not to be resized
   */
  async decodeToValues(file: PictureFile, target: PixelTarget, options: DecodeOptions): Promise<Float32Array> {
    return (await this.#decode(file, target, options)) as Float32Array;
  }

  /**
   * Makes pixel values of pixels.
   * @param image whose memory is given away
   * @returns [3, height, width]
   */
  async toValues(image: RawImage, target: PixelTarget, signal?: AbortSignal): Promise<Float32Array> {
    const request = { source: image, target };
    const transfer = [image.data.buffer as ArrayBuffer];
    const work = this.#onAnyThread(signal, (thread) => thread.run(request, transfer, image.width * image.height));
    return resultOf(await untilAborted(work, signal)) as Float32Array;
  }

  #decode(
    { bytes, name }: PictureFile,
    target: PixelTarget | undefined,
    { maxPixels, decoder, signal }: DecodeOptions,
  ): Promise<RawImage | Float32Array> {
    const request = (file: Uint8Array<ArrayBuffer>, most: number): WorkRequest => ({
      source: { file, maxPixels: Math.min(most, maxPixels), decoder },
      target,
    });
    const work = async () => {
      const first = await this.#onAnyThread(signal, (thread) =>
        thread.run(request(bytes, LARGE_PICTURE), [bytes.buffer]),
      );
      if (first.kind !== "large") return resultOf(first);
      const { file, width, height } = first;
      checkPixelLimit(width, height, maxPixels, name);
      const second = this.#lastLarge.then(() => {
        throwIfAborted(signal);
        return this.#large.run(request(file, maxPixels), [file.buffer]);
      });
      this.#lastLarge = second.catch(() => {});
      return resultOf(await second);
    };
    return untilAborted(work(), signal);
  }

  async #onAnyThread(
    signal: AbortSignal | undefined,
    work: (thread: DecodeThread) => Promise<WorkReply>,
  ): Promise<WorkReply> {
    const thread = this.#idle.pop() ?? (await new Promise<DecodeThread>((resolve) => this.#waiting.push(resolve)));
    try {
      throwIfAborted(signal);
      return await work(thread);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(thread);
      else this.#idle.push(thread); // on top: threads that have started already are taken first
    }
  }
}

function resultOf(reply: WorkReply): RawImage | Float32Array {
  if (reply.kind === "image") return reply.image;
  if (reply.kind === "values") return reply.values;
  if (reply.kind === "error") throw new NeuronBlipError(reply.code as NeuronBlipErrorCode, reply.reason);
  throw new Error(`the decoder replied with ${reply.kind}`);
}
