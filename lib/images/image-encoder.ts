import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { types } from "node:util";
import type { NeuronBlipPreTrainedModel } from "../blip/neuron-blip-pretrained-model.js";
import { throwIfAborted } from "../errors.js";
import type { BlipImageProcessor } from "../processing/blip-image-processor.js";
import type { ImageSource, SourceOptions } from "../processing/image-source.js";
import type { Ticket } from "../serving/admission.js";
import type { BatchQueue, Job } from "../serving/batch-queue.js";
import { handleOf, stackRows, Tensor } from "../torch/tensor.js";
import { checkInput } from "../torch/torch-values.js";
import { fulfilled, Semaphore } from "../util/concurrency.js";
import { tellOfPicture, traceStage } from "../util/diagnostics.js";
import { RefCounted } from "../util/ref-counted.js";
import { EncodedImage, featuresOf, type Picture } from "./encoded-image.js";
import { FeatureCache, ImageFeatures, ImageKeyValues, type PictureCacheOptions } from "./image-features.js";
import { toPixelValues } from "./load-image.js";
import { isFile, type OpenedPicture, openPicture } from "./open-picture.js";

/** How many pictures are decoded, or wait for the vision model, at a time: each takes up to 2 MB once it is decoded. */
const PICTURES_IN_HAND = 64;

type Pixels = RefCounted<Tensor<"float32">>;

/** A picture that was read: what it is known by, and what becomes its pixels. */
interface OpenedImage {
  readonly digest: string;
  /** @returns pixels for the caller to release. */
  decode(signal: AbortSignal | undefined): Promise<Pixels>;
  /** What gives back the permit of a picture that was prepared already. */
  readonly giveBack?: () => void;
  /** Lets go of what was prepared. */
  forget?(): void;
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
  readonly #processor: BlipImageProcessor;
  readonly #queue: BatchQueue<NeuronBlipPreTrainedModel>;
  readonly #shape: readonly number[];
  readonly #cache: FeatureCache | undefined;
  readonly #sources: ImageEncoderOptions["sources"];
  readonly #inHand = new Semaphore(PICTURES_IN_HAND);
  readonly #vision: Job<NeuronBlipPreTrainedModel, Pixels, Tensor<"float32">>;

  constructor(
    processor: BlipImageProcessor,
    queue: BatchQueue<NeuronBlipPreTrainedModel>,
    { batchSize, shape, cache, sources }: ImageEncoderOptions,
  ) {
    this.#processor = processor;
    this.#queue = queue;
    this.#shape = shape;
    this.#sources = sources;
    this.#cache = cache ? new FeatureCache(cache) : undefined;
    this.keyValues = new ImageKeyValues(queue, this.#cache);
    this.#vision = {
      key: "vision",
      kind: "vision",
      limit: batchSize,
      work: (model, rows, signal) => {
        const pixels = rows.map(({ value }) => value);
        return model.encodeImages(stackRows(pixels, pixels.length), signal);
      },
      hold: (pixels) => {
        pixels.retain();
        return () => pixels.release();
      },
    };
  }

  /**
   * Encodes a picture; one that was encoded before is taken as it is.
   * @returns its features, for the caller to release.
   */
  async encode(image: Picture, options: EncodeOptions = {}): Promise<RefCounted<ImageFeatures>> {
    if (image instanceof EncodedImage) return this.#check(image).retain();
    return this.#encodeAlone(await this.#open(image, options), options);
  }

  /**
   * Encodes pictures. Where the vision model takes several at a time, those of a call are decoded side by side and join the queue
   * as one run; else each goes its way alone.
   * @returns each picture's features, for the caller to release, or error, in order.
   */
  encodeAll(
    images: readonly Picture[],
    options: EncodeOptions = {},
  ): Promise<PromiseSettledResult<RefCounted<ImageFeatures>>[]> {
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
      const { imageEmbeds, keyValues } = found.value;
      const copy = Tensor.zeros("float32", imageEmbeds.shape);
      copy.data.set(imageEmbeds.data);
      const own = new RefCounted(new ImageFeatures(copy, keyValues?.retain()));
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

  /** What the cache has done and has; zeros where there is none. */
  get cacheStats(): FeatureCache["stats"] {
    return this.#cache?.stats ?? { hits: 0, misses: 0, pictures: 0, bytes: 0 };
  }

  /** Lets go of what is kept. */
  dispose(): void {
    this.#cache?.dispose();
  }

  async #encodeBatch(
    sources: readonly ImageSource[],
    options: EncodeOptions,
  ): Promise<PromiseSettledResult<RefCounted<ImageFeatures>>[]> {
    const outcomes = await Promise.allSettled(sources.map((source) => this.#open(source, options)));
    const opened = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    // Permits are taken all at once: who holds some and waits for more may wait for ever.
    for (const one of opened) one.giveBack?.();
    const missing = this.#missingOf(opened);
    if (missing.length > 0) options.ticket?.defer();
    const giveBack = await this.#inHand.acquire(missing.length, options.signal).catch((error) => {
      for (const one of opened) one.forget?.();
      throw error;
    });
    const runs: Promise<ImageFeatures>[] = [];
    const decoded = await Promise.allSettled(missing.map((one) => one.decode(options.signal)));
    const found = Promise.allSettled(
      outcomes.map(async (outcome) => {
        const one = fulfilled(outcome);
        const place = missing.indexOf(one);
        if (place < 0) return this.#encodeAlone(one, options);
        const pixels = fulfilled(decoded[place]);
        return this.#featuresOf(one, options, (signal) => {
          const run = this.#run(pixels, { ...options, signal });
          runs.push(run);
          return run;
        });
      }),
    );
    // Pictures that other calls encode may need the permits, and where those fail, their pixels are still wanted.
    void Promise.allSettled(runs).then(giveBack);
    void found
      .then(() => Promise.allSettled(runs))
      .then(() => {
        for (const outcome of decoded) if (outcome.status === "fulfilled") outcome.value.release();
      });
    return found;
  }

  /** Those that have to be decoded: each content once. */
  #missingOf(opened: readonly OpenedImage[]): OpenedImage[] {
    const cache = this.#cache;
    if (cache === undefined) return [...opened];
    const digests = opened.map(({ digest }) => digest);
    return opened.filter(({ digest }, i) => digests.indexOf(digest) === i && !cache.has(digest));
  }

  /** Reads a picture. Pixels are prepared, in their turn, and known by what becomes of them: their owner may change them meanwhile. */
  async #open(picture: ImageSource, options: EncodeOptions): Promise<OpenedImage> {
    const { signal, ticket } = options;
    if (!isAtHand(picture)) ticket?.defer();
    const opened = await openPicture(picture, { ...this.#sources, signal });
    throwIfAborted(signal);
    if (isFile(opened)) {
      tellOfPicture(opened.bytes.length);
      const digest = this.#cache ? await sha256(opened.bytes) : "";
      return { digest, decode: (signal) => this.#prepare(opened, signal) };
    }
    const giveBack = await this.#inHand.acquire(1, signal);
    try {
      const pixels = await this.#prepare(opened, signal);
      const digest = this.#cache ? digestOf(pixels.value) : "";
      const forget = () => {
        giveBack();
        pixels.release();
      };
      return { digest, decode: async () => pixels.retain(), giveBack, forget };
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Makes the vision model's input of a picture. */
  async #prepare(opened: OpenedPicture, signal: AbortSignal | undefined): Promise<Pixels> {
    const { target } = this.#processor;
    const values = await traceStage("decode", () => toPixelValues(opened, target, { ...this.#sources, signal }));
    return new RefCounted(Tensor.from(values, [1, 3, target.height, target.width]));
  }

  /** Decodes a picture by itself, in its turn, and runs the vision model; where it is not in the cache. */
  #encodeAlone(opened: OpenedImage, options: EncodeOptions): Promise<RefCounted<ImageFeatures>> {
    return this.#featuresOf(opened, options, async (signal) => {
      options.ticket?.defer();
      const giveBack = opened.giveBack ?? (await this.#inHand.acquire(1, signal));
      try {
        const pixels = await opened.decode(signal);
        try {
          return await this.#run(pixels, { ...options, signal });
        } finally {
          pixels.release();
        }
      } finally {
        giveBack();
      }
    });
  }

  /**
   * A picture's features, from the cache if it was encoded before or is being encoded.
   * @param run encodes it.
   */
  async #featuresOf(
    opened: OpenedImage,
    options: EncodeOptions,
    run: (signal: AbortSignal | undefined) => Promise<ImageFeatures>,
  ): Promise<RefCounted<ImageFeatures>> {
    let encoding: Promise<ImageFeatures> | undefined;
    const encode = (signal: AbortSignal | undefined) => {
      encoding = run(signal);
      return encoding;
    };
    try {
      if (this.#cache === undefined) return new RefCounted(await encode(options.signal));
      const { features, wasThere } = await this.#cache.get(opened.digest, options.signal, encode);
      if (wasThere) this.keyValues.prepareForMore(features);
      return features;
    } finally {
      // It may go on for others when this call was aborted.
      if (opened.forget) void Promise.allSettled([encoding]).then(() => opened.forget?.());
    }
  }

  async #run(pixels: Pixels, options: EncodeOptions): Promise<ImageFeatures> {
    const [imageEmbeds] = await this.#queue.runAll([pixels], this.#vision, options);
    return new ImageFeatures(imageEmbeds as Tensor<"float32">);
  }

  /** @throws NeuronBlipError `DISPOSED`; `INVALID_INPUT` for a picture that a model of other shapes encoded. */
  #check(image: EncodedImage): RefCounted<ImageFeatures> {
    const features = featuresOf(image);
    const { imageEmbeds } = features.value;
    handleOf(imageEmbeds);
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#shape);
    return features;
  }
}

/** Whether a picture is read in a moment, and not from afar. */
function isAtHand(picture: ImageSource): boolean {
  if (typeof picture === "string") return !/^https?:/i.test(picture);
  return types.isUint8Array(picture) || (typeof picture === "object" && picture !== null && "data" in picture);
}

/** So many bytes are hashed in one turn of the event loop: about a millisecond's work, and less than copying them would be. */
const SLICE = 2 ** 20;

/**
 * The SHA-256 in hex, in slices, with turns of the event loop in between: WebCrypto, which has threads of its own, copies its
 * input first, all at once, which holds the event loop for longer than any slice does.
 */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += SLICE) {
    if (at > 0) await nextTurn();
    hash.update(bytes.subarray(at, at + SLICE));
  }
  return hash.digest("hex");
}

/** The SHA-256 of a picture as the model takes it: 1.8 MB of 384 x 384 pixels, a millisecond. */
function digestOf({ data }: Tensor<"float32">): string {
  return createHash("sha256").update(data).digest("hex");
}
