import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readJsonIfThere } from "../json-file.js";
import { Tensor } from "../tensor.js";
import type { PixelTarget } from "./decode-worker.js";
import { DECODED_AT_A_TIME, type ImageSource, type LoadImageOptions, loadPixelValues } from "./load-image.js";

/** Pillow's number for bicubic resampling, the only one that is implemented. */
const BICUBIC = 3;

/** What preprocessor_config.json says, in camelCase; every field has BLIP's default. */
export interface BlipImageProcessorConfig {
  /** Pixels of the model's input. Default 384 x 384. */
  readonly size?: { readonly height: number; readonly width: number };
  readonly doResize?: boolean;
  /** Only 3 (bicubic). */
  readonly resample?: number;
  readonly doRescale?: boolean;
  /** Default 1/255. */
  readonly rescaleFactor?: number;
  readonly doNormalize?: boolean;
  /** Of red, green and blue. */
  readonly imageMean?: readonly number[];
  readonly imageStd?: readonly number[];
}

const DEFAULTS = {
  size: { height: 384, width: 384 },
  doResize: true,
  resample: BICUBIC,
  doRescale: true,
  rescaleFactor: 1 / 255,
  doNormalize: true,
  imageMean: [0.48145466, 0.4578275, 0.40821073],
  imageStd: [0.26862954, 0.26130258, 0.27577711],
} as const satisfies Required<BlipImageProcessorConfig>;

/**
 * Turns pictures into BLIP's pixel values, equal to transformers' `BlipImageProcessor` on Pillow (transformers 4 with
 * use_fast=False, transformers 5 with backend="pil"): RGB, resized by Pillow's bicubic filter without regard to the aspect,
 * scaled to 0..1, normalised per channel.
 */
export class BlipImageProcessor {
  readonly config: Required<BlipImageProcessorConfig>;
  readonly #target: PixelTarget;

  /** @throws NeuronBlipError `INVALID_INPUT` for settings that are not supported. */
  constructor(config: BlipImageProcessorConfig = {}) {
    const given = Object.entries(config).filter(([, value]) => value !== undefined);
    this.config = { ...DEFAULTS, ...Object.fromEntries(given) };
    checkConfig(this.config);
    const { size, doResize } = this.config;
    const tables = new Float32Array(3 * 256);
    for (const channel of [0, 1, 2]) tables.set(makeTable(this.config, channel), channel * 256);
    this.#target = { width: size.width, height: size.height, doResize, tables };
  }

  /**
   * Reads a directory's preprocessor_config.json; where it has none, takes BLIP's settings with the size that config.json
   * gives the vision model.
   * @throws NeuronBlipError `ARTIFACT_CORRUPT` for unreadable files, `ARTIFACT_MISMATCH` for settings that are not supported
   */
  static async fromPretrained(directory: string): Promise<BlipImageProcessor> {
    const path = join(directory, "preprocessor_config.json");
    const json = await readJsonIfThere(path);
    const config = json === undefined ? await sizeFromModel(directory) : fromJson(json);
    try {
      return new BlipImageProcessor(config);
    } catch (error) {
      const message = `"${path}" cannot be followed: ${(error as Error).message}`;
      throw new NeuronBlipError("ARTIFACT_MISMATCH", message, { cause: error });
    }
  }

  /**
   * Loads and prepares one picture or several, on worker threads.
   * @returns float32 [n, 3, height, width]
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `ABORTED`; of several pictures that fail, the
   * first one's
   */
  async preprocess(
    images: ImageSource | readonly ImageSource[],
    options: LoadImageOptions = {},
  ): Promise<Tensor<"float32">> {
    const sources = isList(images) ? images : [images];
    if (sources.length === 0) throw new NeuronBlipError("INVALID_INPUT", "There is no picture in the list.");
    const { height, width } = this.config.size;
    const pixelValues = Tensor.zeros("float32", [sources.length, 3, height, width]);
    const failures = new Map<number, unknown>();
    let next = 0;
    // One more than are decoded at a time is read meanwhile.
    const lanes = Array.from({ length: Math.min(sources.length, DECODED_AT_A_TIME + 1) }, async () => {
      while (next < sources.length && failures.size === 0) {
        const i = next++;
        try {
          const values = await loadPixelValues(sources[i] as ImageSource, this.#target, options);
          pixelValues.data.set(values, i * 3 * height * width);
        } catch (error) {
          failures.set(i, error);
        }
      }
    });
    await Promise.all(lanes);
    if (failures.size === 0) return pixelValues;
    pixelValues.dispose();
    throw failures.get(Math.min(...failures.keys()));
  }
}

/**
 * transformers' arithmetic, in its order and precision: the rescaled value is computed in double precision and rounded to
 * single; mean and standard deviation are rounded to single, and each operation with them is, too.
 */
function makeTable(config: Required<BlipImageProcessorConfig>, channel: number): Float32Array {
  const mean = Math.fround(config.imageMean[channel] as number);
  const std = Math.fround(config.imageStd[channel] as number);
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const value = config.doRescale ? Math.fround(byte * config.rescaleFactor) : byte;
    return config.doNormalize ? Math.fround(Math.fround(value - mean) / std) : value;
  });
}

function checkConfig(config: Required<BlipImageProcessorConfig>): void {
  const { size, resample, rescaleFactor, imageMean, imageStd } = config;
  const check = (valid: boolean, name: string, value: unknown, expected: string) => {
    if (valid) return;
    throw new NeuronBlipError("INVALID_INPUT", `${name} must be ${expected}, not ${JSON.stringify(value)}.`);
  };
  const isSize = (value: unknown) => Number.isInteger(value) && (value as number) >= 1 && (value as number) < 2 ** 15;
  const isTriple = (values: unknown) => Array.isArray(values) && values.length === 3 && values.every(Number.isFinite);
  check(isObject(size) && isSize(size.height) && isSize(size.width), "size", size, "{ height, width } in whole pixels");
  check(resample === BICUBIC, "resample", resample, `${BICUBIC} (bicubic)`);
  check(Number.isFinite(rescaleFactor), "rescale_factor", rescaleFactor, "a number");
  check(isTriple(imageMean), "image_mean", imageMean, "three numbers");
  check(isTriple(imageStd) && !imageStd.includes(0), "image_std", imageStd, "three numbers other than 0");
}

/** preprocessor_config.json's fields, as transformers writes them. */
function fromJson(json: JsonObject): BlipImageProcessorConfig {
  const names = {
    do_resize: "doResize",
    resample: "resample",
    do_rescale: "doRescale",
    rescale_factor: "rescaleFactor",
    do_normalize: "doNormalize",
    image_mean: "imageMean",
    image_std: "imageStd",
  } as const;
  const config: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(names)) {
    if (json[name] !== undefined && json[name] !== null) config[field] = json[name];
  }
  // Files of the oldest versions give one number.
  if (typeof json.size === "number") config.size = { height: json.size, width: json.size };
  else if (json.size !== undefined && json.size !== null) config.size = json.size;
  return config as BlipImageProcessorConfig;
}

async function sizeFromModel(directory: string): Promise<BlipImageProcessorConfig> {
  const vision = (await readJsonIfThere(join(directory, "config.json")))?.vision_config;
  const size = isObject(vision) ? vision.image_size : undefined;
  return typeof size === "number" ? { size: { height: size, width: size } } : {};
}

function isList(images: ImageSource | readonly ImageSource[]): images is readonly ImageSource[] {
  return Array.isArray(images);
}
