import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { types } from "node:util";
import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import { throwIfAborted } from "../errors.js";
import type { BlipImageProcessor } from "../processing/blip-image-processor.js";
import type { PixelTarget } from "../processing/image-loader.js";
import type { ImageSource, SourceOptions } from "../processing/image-source.js";
import type { PixelImage } from "../processing/raw-image.js";
import type { BatchQueue } from "../serving/batch-queue.js";
import type { Job, Ticket } from "../serving/job.js";
import { handleOf, stackRows, Tensor } from "../torch/tensor.js";
import { checkInput } from "../torch/torch-values.js";
import { fulfilled, Semaphore } from "../util/concurrency.js";
import { tellOfPicture, traceStage } from "../util/diagnostics.js";
import type { OwnFloat32Array } from "../util/values.js";
import { decoderPool } from "./decoder-pool.js";
import { EncodedImage, featuresOf, type Picture } from "./encoded-image.js";
import { FeatureCache, ImageFeatures, ImageKeyValues, type PictureCacheOptions } from "./image-features.js";
import { type OpenedPicture, openPicture, type SourceSettings, sourceSettings } from "./open-picture.js";
import type { PictureFile } from "./picture-file.js";

/** How many pictures are decoded, or wait for the vision model, at a time: each takes up to 2 MB once it is decoded. */
const PICTURES_IN_HAND = 64;

/** A picture that was read. */
interface ReadImage {
  /** What it is known by. */
  readonly digest: string;
  /** Its file, or the pixel values that were made of it. */
  readonly picture: PictureFile | OwnFloat32Array;
  /** Releases the permit of one that has it already. */
  readonly giveBack?: () => void;
}

export interface EncodeOptions {
  signal?: AbortSignal | undefined;
  /** The call's, which begins when a replica does. */
  ticket?: Ticket | undefined;
}

export interface ImageEncoderOptions {
  /** The most pictures of one run of the vision model. */
  batchSize: number;
  /** What an encoded image must have: [1, image tokens, vision hidden size]. */
  shape: readonly number[];
  cache: PictureCacheOptions | false;
  /** How pictures may come, and how large. */
  sources: SourceOptions & { readonly maxPixels?: number | undefined };
}

/** Encodes pictures: reads and decodes them, runs the vision model, and keeps their features for a while. */
export class ImageEncoder {
  readonly keyValues: ImageKeyValues;
  readonly #target: PixelTarget;
  readonly #queue: BatchQueue<NeuronBlipPreTrainedModel>;
  readonly #shape: readonly number[];
  readonly #cache: FeatureCache | undefined;
  readonly #sources: SourceSettings;
  readonly #inHand = new Semaphore(PICTURES_IN_HAND);
  readonly #vision: Job<NeuronBlipPreTrainedModel, OwnFloat32Array, Tensor<"float32">>;

  constructor(
    { target }: BlipImageProcessor,
    queue: BatchQueue<NeuronBlipPreTrainedModel>,
    { batchSize, shape, cache, sources }: ImageEncoderOptions,
  ) {
    this.#target = target;
    this.#queue = queue;
    this.#shape = shape;
    this.#sources = sourceSettings(sources);
    this.#cache = cache ? new FeatureCache(cache) : undefined;
    this.keyValues = new ImageKeyValues(queue, this.#cache);
    this.#vision = {
      key: "vision",
      kind: "vision",
      limit: batchSize,
      work: async (model, rows, signal) => {
        const pixels = rows.map((values) => Tensor.from(values, [1, 3, target.height, target.width]));
        try {
          return await model.encodeImages(stackRows(pixels, pixels.length), signal);
        } finally {
          for (const one of pixels) one.dispose();
        }
      },
    };
  }

  /**
   * Encodes a picture; one that was encoded before is taken as it is.
   * @returns its features, for the caller to release.
   */
  async encode(image: Picture, options: EncodeOptions = {}): Promise<ImageFeatures> {
    if (image instanceof EncodedImage) return this.#check(image).retain();
    const read = await this.#read(image, options);
    if (!("data" in read)) return this.#encodeRead(read, options);
    const giveBack = await this.#inHand.acquire(1, options.signal);
    let prepared: ReadImage;
    try {
      prepared = await this.#prepare(read, options.signal);
    } catch (error) {
      giveBack();
      throw error;
    }
    return this.#encodeRead({ ...prepared, giveBack }, options);
  }

  /**
   * Encodes pictures. Where the vision model takes several at a time, those of a call are decoded side by side and join the queue
   * as one run; else each runs alone.
   * @returns each picture's features, for the caller to release, or error, in order.
   */
  encodeAll(images: readonly Picture[], options: EncodeOptions = {}): Promise<PromiseSettledResult<ImageFeatures>[]> {
    const sources = images.filter((image): image is ImageSource => !(image instanceof EncodedImage));
    if (this.#vision.limit === 1 || sources.length < 2) {
      return Promise.allSettled(images.map((image) => this.encode(image, options)));
    }
    const batch = this.#encodeBatch(sources, options);
    let next = 0;
    return Promise.allSettled(
      images.map(async (image) => {
        if (image instanceof EncodedImage) return this.encode(image, options);
        const place = next++;
        return fulfilled((await batch)[place]);
      }),
    );
  }

  /**
   * Encodes a picture for its user to keep, with its keys and values.
   * @throws NeuronBlipError as `NeuronBlip.encodeImage`.
   */
  async encodeToKeep(image: ImageSource, options: EncodeOptions): Promise<EncodedImage> {
    const found = await this.encode(image, options);
    try {
      if (image instanceof EncodedImage || !this.#cache) {
        await this.keyValues.compute(found, options.signal);
        return new EncodedImage(found.retain());
      }
      // What the cache has is others' too: the user may write to his own.
      const { imageEmbeds, keyValues } = found;
      const copy = Tensor.zeros("float32", imageEmbeds.shape);
      copy.data.set(imageEmbeds.data);
      const own = new ImageFeatures(copy, keyValues?.retain());
      try {
        await this.keyValues.compute(own, options.signal);
        return new EncodedImage(own.retain());
      } finally {
        own.release();
      }
    } finally {
      found.release();
    }
  }

  /** Counts what the cache has done and has; zeros where there is none. */
  get cacheStats(): FeatureCache["stats"] {
    return this.#cache?.stats ?? { hits: 0, misses: 0, pictures: 0, bytes: 0 };
  }

  /** Releases what is kept. */
  dispose(): void {
    this.#cache?.dispose();
  }

  async #encodeBatch(
    sources: readonly ImageSource[],
    options: EncodeOptions,
  ): Promise<PromiseSettledResult<ImageFeatures>[]> {
    const { signal, ticket } = options;
    const outcomes = await this.#prepareAll(
      await Promise.allSettled(sources.map((source) => this.#read(source, options))),
      signal,
    );
    const missing = this.#missingOf(
      outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value : [])),
    );
    if (ticket && missing.length > 0) ticket.isComing = false;
    const giveBackAll = await this.#inHand.acquire(missing.length, signal);
    let inHand = missing.length;
    const giveBack = () => {
      if (--inHand === 0) giveBackAll();
    };
    const prepared = await Promise.allSettled(
      missing.map(({ picture }) => ("bytes" in picture ? this.#decode(picture, signal) : picture)),
    );
    return Promise.allSettled(
      outcomes.map(async (outcome) => {
        const one = fulfilled(outcome);
        const { digest, picture } = one;
        const values = prepared[missing.indexOf(one)];
        if (values === undefined) return this.#encodeRead({ digest, picture }, options);
        // Another call that encodes it by now may need the permit, and where that fails, its pixels are still wanted.
        const isMissing = values.status === "fulfilled" && !this.#cache?.has(digest);
        if (!isMissing) giveBack();
        return this.#encodeRead({ digest, picture: fulfilled(values), ...(isMissing && { giveBack }) }, options);
      }),
    );
  }

  /** Returns those that have to be decoded: each content once. */
  #missingOf(images: readonly ReadImage[]): ReadImage[] {
    const cache = this.#cache;
    if (cache === undefined) return [...images];
    const digests = images.map(({ digest }) => digest);
    return images.filter(({ digest }, i) => digests.indexOf(digest) === i && !cache.has(digest));
  }

  /** Reads a picture: a file, or pixels, in their owner's memory. */
  async #read(source: ImageSource, { signal, ticket }: EncodeOptions): Promise<ReadImage | PixelImage> {
    const isAtHand =
      typeof source === "string"
        ? !/^https?:/i.test(source)
        : types.isUint8Array(source) || (typeof source === "object" && source !== null && "data" in source);
    if (ticket && !isAtHand) ticket.isComing = false;
    const picture = await openPicture(source, { ...this.#sources, signal });
    throwIfAborted(signal);
    if ("data" in picture) return picture;
    tellOfPicture(picture.bytes.length);
    return { digest: this.#cache ? await sha256(picture.bytes) : "", picture };
  }

  /** Prepares pixels, which are known by what becomes of them: their owner may change them meanwhile. */
  async #prepare(pixels: PixelImage, signal: AbortSignal | undefined): Promise<ReadImage> {
    const values = await this.#decode(pixels, signal);
    // Of 384 x 384 pixels, 1.8 MB: a millisecond.
    return { digest: this.#cache ? createHash("sha256").update(values).digest("hex") : "", picture: values };
  }

  /** Prepares what a call has as pixels. @throws NeuronBlipError `ABORTED`. */
  async #prepareAll(
    outcomes: readonly PromiseSettledResult<ReadImage | PixelImage>[],
    signal: AbortSignal | undefined,
  ): Promise<PromiseSettledResult<ReadImage>[]> {
    const count = outcomes.filter((outcome) => outcome.status === "fulfilled" && "data" in outcome.value).length;
    // Permits are taken all at once, when all has come: who holds some and waits for more may wait for ever.
    const giveBack = await this.#inHand.acquire(count, signal);
    const prepared = await Promise.allSettled(
      outcomes.map(async (outcome) => {
        const read = fulfilled(outcome);
        return "data" in read ? this.#prepare(read, signal) : read;
      }),
    );
    giveBack();
    return prepared;
  }

  /** Returns a picture's features: from the cache, if it was encoded before or is being encoded; else decodes and encodes it. */
  async #encodeRead({ digest, picture, giveBack }: ReadImage, options: EncodeOptions): Promise<ImageFeatures> {
    let hasBegun = false;
    const encode = async (signal: AbortSignal | undefined) => {
      hasBegun = true;
      if (options.ticket) options.ticket.isComing = false;
      // What is prepared waits for no permit: those who wait for it may hold them all.
      const leave = giveBack ?? ("bytes" in picture ? await this.#inHand.acquire(1, signal) : () => {});
      try {
        const values = "bytes" in picture ? await this.#decode(picture, signal) : picture;
        const [imageEmbeds] = await this.#queue.run([values], this.#vision, { ...options, signal });
        return new ImageFeatures(imageEmbeds);
      } finally {
        leave();
      }
    };
    try {
      if (this.#cache === undefined) return await encode(options.signal);
      const { features, wasThere } = await this.#cache.get(digest, options.signal, encode);
      if (wasThere) this.keyValues.prepareForMore(features);
      return features;
    } finally {
      if (!hasBegun) giveBack?.();
    }
  }

  /** Makes the vision model's input of a picture. */
  #decode(picture: OpenedPicture, signal: AbortSignal | undefined): Promise<OwnFloat32Array> {
    const options = { ...this.#sources, target: this.#target, signal };
    return traceStage("decode", () => decoderPool.decode(picture, options));
  }

  /**
   * Checks an encoded image.
   * @throws NeuronBlipError `DISPOSED`; `INVALID_INPUT` for a picture that a model of other shapes encoded.
   */
  #check(image: EncodedImage): ImageFeatures {
    const features = featuresOf(image);
    const { imageEmbeds } = features;
    handleOf(imageEmbeds);
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#shape);
    return features;
  }
}

/** So many bytes are hashed in one turn of the event loop: about a millisecond's work, and less than copying them would be. */
const SLICE = 2 ** 20;

/**
 * Computes the SHA-256 in hex, in slices, with turns of the event loop in between: WebCrypto, which has threads of its own, copies
 * its input first, all at once, which holds the event loop for longer than any slice does.
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += SLICE) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + SLICE));
  }
  return hash.digest("hex");
}
