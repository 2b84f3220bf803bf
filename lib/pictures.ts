import { createHash } from "node:crypto";
import type { NeuronBlipPreTrainedModel } from "./blip/neuron-blip-pretrained-model.js";
import { EncodedImage, lookedAtOf, type Picture } from "./encoded-image.js";
import { throwIfAborted } from "./errors.js";
import { bytesOf, LookedAt } from "./looked-at.js";
import { PictureCache, type PictureCacheOptions } from "./picture-cache.js";
import type { BlipProcessor } from "./processing/blip-processor.js";
import type { ImageSource, SourceOptions } from "./processing/image-source.js";
import { isFile, openPicture } from "./processing/open-picture.js";
import { asSource, sha256 } from "./processing/picture-file.js";
import type { PixelImage } from "./processing/raw-image.js";
import { untilAborted } from "./runtime/abort.js";
import { stackRows } from "./runtime/batch.js";
import type { BatchQueue, Job } from "./runtime/batch-queue.js";
import { checkInput } from "./runtime/check.js";
import { Gate } from "./runtime/gate.js";
import { Places } from "./runtime/places.js";
import { Shared } from "./runtime/shared.js";
import { copySmallPixels } from "./small-pixels.js";
import { handleOf, Tensor } from "./tensor.js";

/** Pictures that are decoded, or wait for the model to look at them, at a time: each takes up to 2 MB once it is decoded. */
const PICTURES_IN_HAND = 64;

/** From so many questions about a picture in one call on, its keys and values are computed before any of them. */
const QUESTIONS_THAT_PAY = 8;

/** A model whose text encoder can compute once what it needs of a picture. */
type Model = NeuronBlipPreTrainedModel & {
  imageKeysValues?(imageEmbeds: Tensor<"float32">, signal?: AbortSignal): Promise<Tensor | undefined>;
};

interface Found {
  lookedAt: Shared<LookedAt>;
  wasThere: boolean;
}

/** What a picture says on its way. */
interface Stages {
  /** That the call's other pictures need not wait for it. */
  pass(): void;
  /** That its questions are there, or will take longer. */
  arrive(): void;
}

/** Pictures' keys and values, one by one. */
const KEYS_VALUES: Job<Model, Shared<LookedAt>, Tensor | undefined> = {
  key: "keys and values",
  limit: 1,
  work: async (model, [lookedAt], signal) => [
    await model.imageKeysValues?.((lookedAt as Shared<LookedAt>).value.imageEmbeds, signal),
  ],
  hold,
};

export interface LookOptions {
  signal?: AbortSignal | undefined;
  /** Called when a replica begins with it. */
  onBegin?: (() => void) | undefined;
}

export interface PicturesOptions {
  /** The most pictures of one run of the vision model. */
  batchSize: number;
  /** What an encoded image must have: [1, image tokens, vision hidden size]. */
  shape: readonly number[];
  cache: PictureCacheOptions | false;
  /** How pictures may come, and how large. */
  sources: SourceOptions & { readonly maxPixels?: number | undefined };
}

/** Looks at pictures: prepares them, runs the vision model, and keeps for a while what was found. */
export class Pictures {
  readonly #processor: BlipProcessor;
  readonly #queue: BatchQueue<Model>;
  readonly #shape: readonly number[];
  readonly #cache: PictureCache | undefined;
  readonly #sources: PicturesOptions["sources"];
  readonly #places = new Places(PICTURES_IN_HAND);
  readonly #vision: Job<Model, Shared<Tensor<"float32">>, Tensor<"float32">>;
  /** Keys and values that are being computed. */
  readonly #computing = new WeakMap<LookedAt, Promise<void>>();
  #hasKeysValues = true;
  /** Of one picture; 0 until the first ones are there. */
  #keysValuesBytes = 0;

  constructor(
    processor: BlipProcessor,
    queue: BatchQueue<Model>,
    { batchSize, shape, cache, sources }: PicturesOptions,
  ) {
    this.#processor = processor;
    this.#queue = queue;
    this.#shape = shape;
    this.#sources = sources;
    this.#cache = cache ? new PictureCache(cache) : undefined;
    this.#vision = {
      key: "vision",
      limit: batchSize,
      work: (model, rows, signal) => {
        const pixels = rows.map(({ value }) => value);
        return model.encodeImages(stackRows(pixels, pixels.length), signal);
      },
      hold,
    };
  }

  /**
   * Looks at pictures; those that have been looked at are taken as they are.
   * @returns each picture's result, for the caller to release, or error, in order.
   */
  lookAt(images: readonly Picture[], options: LookOptions = {}): Promise<PromiseSettledResult<Shared<LookedAt>>[]> {
    // Where the model takes several at a time, a call's pictures wait for each other.
    const gate = new Gate(this.#vision.limit > 1 ? images.length : 0);
    return Promise.allSettled(
      images.map(async (image) => {
        const pass = gate.pass();
        try {
          return await this.#lookAt(image, gate, pass, options);
        } finally {
          pass();
        }
      }),
    );
  }

  /** Looks at a picture for its user to keep, with its keys and values. */
  async encode(image: ImageSource, options: LookOptions): Promise<EncodedImage> {
    const [outcome] = await this.lookAt([image], options);
    if (outcome?.status !== "fulfilled") throw outcome?.reason;
    const found = outcome.value;
    try {
      if (image instanceof EncodedImage || !this.#cache) {
        await this.#computeKeysValues(found, options.signal);
        return new EncodedImage(found.retain());
      }
      // What the cache has is others' too: the user may write to his own.
      const { imageEmbeds, keysValues } = found.value;
      const copy = Tensor.zeros("float32", imageEmbeds.shape);
      copy.data.set(imageEmbeds.data);
      const own = new Shared(new LookedAt(copy, keysValues?.retain()));
      try {
        await this.#computeKeysValues(own, options.signal);
        return new EncodedImage(own.retain());
      } finally {
        own.release();
      }
    } finally {
      found.release();
    }
  }

  /**
   * Before questions about a picture: where there are many, computes what the text encoder needs of it for all of them, and keeps
   * it with the picture.
   */
  async prepareFor(questions: number, lookedAt: Shared<LookedAt>, signal: AbortSignal | undefined): Promise<void> {
    if (questions < QUESTIONS_THAT_PAY) return;
    // Where that fails, the questions do without, or say why not.
    await this.#computeKeysValues(lookedAt, signal).catch(() => throwIfAborted(signal));
  }

  /** Lets go of what is kept. */
  dispose(): void {
    this.#cache?.dispose();
  }

  async #lookAt(picture: Picture, gate: Gate, pass: () => void, options: LookOptions): Promise<Shared<LookedAt>> {
    if (picture instanceof EncodedImage) return this.#check(picture).retain();
    const cache = this.#cache;
    if (cache === undefined) return new Shared(await this.#decodeAndLook(picture, gate, pass, options));
    // If it is in the cache, its questions will be there at once.
    const arrive = this.#queue.expect();
    try {
      const opened = await openPicture(picture, { ...this.#sources, signal: options.signal });
      throwIfAborted(options.signal);
      const known = isFile(opened)
        ? { source: asSource(opened), digest: await sha256(opened.bytes) }
        : copySmallPixels(opened);
      const looking = known
        ? this.#ask(cache, known.digest, { pass, arrive }, options, (signal) =>
            this.#decodeAndLook(known.source, gate, pass, { ...options, signal }),
          )
        : this.#lookAtPixels(cache, opened as PixelImage, gate, { pass, arrive }, options);
      const { lookedAt, wasThere } = await looking;
      // It may well be asked about a third time.
      if (wasThere && cache.wants(lookedAt, this.#keysValuesBytes)) {
        void this.#computeKeysValues(lookedAt, undefined).catch(() => {});
      }
      return lookedAt;
    } finally {
      arrive();
    }
  }

  /** Many pixels are known by what becomes of them: to copy them all, so that their owner cannot change them, takes too long. */
  async #lookAtPixels(
    cache: PictureCache,
    picture: ImageSource,
    gate: Gate,
    { pass, arrive }: Stages,
    options: LookOptions,
  ): Promise<Found> {
    const leave = await this.#places.take(options.signal);
    try {
      const pixels = new Shared(await this.#decode(picture, options.signal));
      try {
        return await this.#ask(cache, digestOf(pixels.value), { pass, arrive }, options, (signal) =>
          this.#run(pixels, gate, pass, leave, { ...options, signal }),
        );
      } finally {
        pixels.release();
      }
    } finally {
      leave();
    }
  }

  /** A picture of the cache; where it is there, or on its way, the call's other pictures need not wait for it. */
  #ask(
    cache: PictureCache,
    content: string,
    { pass, arrive }: Stages,
    { signal }: LookOptions,
    look: (signal: AbortSignal) => Promise<LookedAt>,
  ): Promise<Found> {
    if (!cache.has(content)) arrive();
    let leads = false;
    const found = cache.get(content, signal, (lookSignal) => {
      leads = true;
      return look(lookSignal);
    });
    if (!leads) pass();
    return found;
  }

  async #decodeAndLook(source: ImageSource, gate: Gate, pass: () => void, options: LookOptions): Promise<LookedAt> {
    const leave = await this.#places.take(options.signal);
    try {
      const pixels = new Shared(await this.#decode(source, options.signal));
      try {
        return await this.#run(pixels, gate, pass, leave, options);
      } finally {
        pixels.release();
      }
    } finally {
      leave();
    }
  }

  #decode(source: ImageSource, signal: AbortSignal | undefined): Promise<Tensor<"float32">> {
    return this.#processor.processImages(source, signal ? { signal } : {});
  }

  async #run(
    pixels: Shared<Tensor<"float32">>,
    gate: Gate,
    pass: () => void,
    leave: () => void,
    options: LookOptions,
  ): Promise<LookedAt> {
    pixels.retain();
    try {
      // Pictures that wait for others must not take the places that those need.
      if (gate.size > 1) leave();
      pass();
      await gate.opened;
      const [imageEmbeds] = await this.#queue.runAll([pixels], this.#vision, options);
      return new LookedAt(imageEmbeds as Tensor<"float32">);
    } finally {
      pixels.release();
    }
  }

  #computeKeysValues(lookedAt: Shared<LookedAt>, signal: AbortSignal | undefined): Promise<void> {
    const { value } = lookedAt;
    if (!this.#hasKeysValues || value.keysValues) return Promise.resolve();
    let computing = this.#computing.get(value);
    if (computing === undefined) {
      lookedAt.retain();
      computing = this.#compute(lookedAt).finally(() => {
        this.#computing.delete(value);
        lookedAt.release();
      });
      this.#computing.set(value, computing);
    }
    return untilAborted(computing, signal);
  }

  async #compute(lookedAt: Shared<LookedAt>): Promise<void> {
    const [keysValues] = await this.#queue.runAll([lookedAt], KEYS_VALUES);
    if (keysValues === undefined) {
      this.#hasKeysValues = false;
      return;
    }
    this.#keysValuesBytes = bytesOf(keysValues);
    lookedAt.value.keep(new Shared(keysValues));
    this.#cache?.recount(lookedAt);
  }

  /** @throws NeuronBlipError `DISPOSED`; `INVALID_INPUT` for a picture that a model of other shapes looked at. */
  #check(image: EncodedImage): Shared<LookedAt> {
    const lookedAt = lookedAtOf(image);
    const { imageEmbeds } = lookedAt.value;
    handleOf(imageEmbeds);
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#shape);
    return lookedAt;
  }
}

/** The SHA-256 of a picture as the model takes it: 1.8 MB of 384 x 384 pixels, a millisecond. */
function digestOf({ data }: Tensor<"float32">): string {
  return createHash("sha256").update(data).digest("hex");
}

function hold(row: Shared<{ dispose(): void }>): () => void {
  row.retain();
  return () => row.release();
}
