import { messageOf, NeuronBlipError, readOptions } from "../errors.js";
import { HUB_OPTIONS, type HubOptions } from "../hub/hub-options.js";
import { directoryOf } from "../hub/model-directory.js";
import { Tensor } from "../torch/tensor.js";
import { itemAt } from "../util/item-at.js";
import { isObject } from "../util/json-file.js";
import type { ModelDirectory } from "../util/model-path.js";
import { isList, isWhole, shown } from "../util/values.js";
import { imageLoader, type LoadImageOptions, type PixelTarget } from "./image-loader.js";
import type { BlipImageProcessorConfig } from "./image-processor-config.js";
import type { ImageSource } from "./image-source.js";
import { type PictureSize, type ResizeRule, resizedSize } from "./picture-geometry.js";
import { readPreprocessor } from "./preprocessor-json.js";

/** Pillow's number for bicubic resampling, the only one that is implemented. */
const BICUBIC = 3;

/** The longest edge of a model's input, in pixels: BLIP's have 384 or 480, and a picture of this size takes 200 MB. */
const LONGEST_EDGE = 4096;

type Config = Required<Omit<BlipImageProcessorConfig, "cropSize" | "padSize">> &
  Pick<BlipImageProcessorConfig, "cropSize" | "padSize">;

const DEFAULTS = {
  size: { height: 384, width: 384 },
  doResize: true,
  resample: BICUBIC,
  doCenterCrop: false,
  doRescale: true,
  rescaleFactor: 1 / 255,
  doNormalize: true,
  imageMean: [0.48145466, 0.4578275, 0.40821073],
  imageStd: [0.26862954, 0.26130258, 0.27577711],
  doPad: false,
} as const satisfies Config;

/**
 * Turns pictures into BLIP's pixel values, equal to transformers' `BlipImageProcessor` on Pillow (transformers 4 with
 * use_fast=False, transformers 5 with backend="pil"): RGB, resized by Pillow's bicubic filter, by default without regard to the
 * aspect, cropped where asked to, scaled to 0..1, normalised per channel, padded where asked to.
 */
export class BlipImageProcessor {
  readonly config: Config;
  /** The size of every prepared picture, in pixels. */
  readonly outputSize: PictureSize;
  /** @internal What the model takes of a picture. */
  readonly target: PixelTarget;

  /** Makes a processor. @throws NeuronBlipError `INVALID_INPUT` for settings that are not supported. */
  constructor(config: BlipImageProcessorConfig = {}) {
    const given = Object.entries(readOptions(config, "BlipImageProcessor")).filter(([, value]) => value !== undefined);
    this.config = { ...DEFAULTS, ...Object.fromEntries(given) };
    checkConfig(this.config);
    const { size, doResize, doCenterCrop, cropSize, doPad, padSize } = this.config;
    const crop = doCenterCrop ? cropSize : undefined;
    const pad = doPad ? padSize : undefined;
    this.outputSize = pad ?? crop ?? (size as PictureSize);
    const { width, height } = this.outputSize;
    const tables = new Float32Array(3 * 256);
    for (const channel of [0, 1, 2]) tables.set(makeTable(this.config, channel), channel * 256);
    this.target = { width, height, doResize, resize: size, crop, pad, tables };
    // Where every picture gets one size, what is wrong with it can be told now.
    if (doResize && "width" in size) resizedSize(size, this.target);
  }

  /**
   * Reads a directory's processor_config.json, as transformers 5 writes it, or else its preprocessor_config.json; where it has
   * neither, takes BLIP's settings with the size that config.json gives the vision model. A name on the Hugging Face Hub is taken as
   * NeuronBlip.fromPretrained takes it, without the weights.
   * @throws NeuronBlipError `ARTIFACT_CORRUPT` for unreadable files, `ARTIFACT_MISMATCH` for settings that are not supported
   */
  static async fromPretrained(given: ModelDirectory, options: HubOptions = {}): Promise<BlipImageProcessor> {
    const { path, config } = await readPreprocessor(
      await directoryOf(given, readOptions(options, "BlipImageProcessor.fromPretrained", HUB_OPTIONS)),
    );
    try {
      return new BlipImageProcessor(config);
    } catch (error) {
      const message = `"${path}" cannot be followed: ${messageOf(error)}`;
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
    const list = isList(images) ? images : [images];
    if (list.length === 0) throw new NeuronBlipError("INVALID_INPUT", "There is no picture in the list.");
    // One that is there several times is loaded once: a stream can be read once.
    const sources = [...new Set(list)];
    const { height, width } = this.outputSize;
    const size = 3 * height * width;
    const pixelValues = Tensor.zeros("float32", [list.length, 3, height, width]);
    const failures = new Map<number, unknown>();
    // Shared: each lane takes the next one.
    const waiting = sources.entries();
    const { decoderThreads, loadPixelValues } = imageLoader();
    // One more than are decoded at a time is read meanwhile.
    const lanes = Array.from({ length: Math.min(sources.length, decoderThreads() + 1) }, async () => {
      for (const [i, source] of waiting) {
        if (failures.size > 0) break;
        try {
          const values = await loadPixelValues(source, this.target, options);
          for (let at = list.indexOf(source); at >= 0; at = list.indexOf(source, at + 1)) {
            pixelValues.data.set(values, at * size);
          }
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
 * Computes the pixel values of each byte by transformers' arithmetic, in its order and precision: the rescaled value is computed in
 * double precision and rounded to single; mean and standard deviation are rounded to single, and each operation with them is, too.
 */
function makeTable(config: Config, channel: number): Float32Array {
  const ofChannel = (values: number | readonly number[]) =>
    Math.fround(typeof values === "number" ? values : itemAt(values, channel));
  const mean = ofChannel(config.imageMean);
  const std = ofChannel(config.imageStd);
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const value = config.doRescale ? Math.fround(byte * config.rescaleFactor) : byte;
    return config.doNormalize ? Math.fround(Math.fround(value - mean) / std) : value;
  });
}

function checkConfig(config: Config): void {
  const { size, resample, rescaleFactor, imageMean, imageStd, cropSize, padSize, doCenterCrop, doPad } = config;
  const check = (valid: boolean, name: string, value: unknown, expected: string) => {
    if (valid) return;
    throw new NeuronBlipError("INVALID_INPUT", `${name} must be ${expected}, not ${shown(value)}.`);
  };
  const isFlag = (value: unknown) => typeof value === "boolean";
  for (const name of ["doResize", "doCenterCrop", "doRescale", "doNormalize", "doPad"] as const) {
    check(isFlag(config[name]), name, config[name], "true or false");
  }
  const inPixels = `in whole pixels from 1 to ${LONGEST_EDGE}, as no model takes more`;
  check(isRule(size), "size", size, `{ height, width } (or { shortest_edge }) ${inPixels}`);
  check(resample === BICUBIC, "resample", resample, `${BICUBIC} (bicubic)`);
  check(Number.isFinite(rescaleFactor), "rescale_factor", rescaleFactor, "a number");
  const isTriple = (values: unknown) =>
    Number.isFinite(values) || (Array.isArray(values) && values.length === 3 && values.every(Number.isFinite));
  check(isTriple(imageMean), "image_mean", imageMean, "three numbers");
  check(isTriple(imageStd) && ![imageStd].flat().includes(0), "image_std", imageStd, "three numbers other than 0");
  if (doCenterCrop) check(isSize(cropSize), "crop_size", cropSize, `{ height, width } ${inPixels}`);
  if (doPad && padSize !== undefined) check(isSize(padSize), "pad_size", padSize, `{ height, width } ${inPixels}`);
  if ("width" in size || doCenterCrop || (doPad && padSize !== undefined)) return;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `size must be { height, width }, or go with crop_size or pad_size (and do_center_crop or do_pad): ${shown(size)} alone makes ` +
      "pictures of different sizes, and the model takes one.",
  );
}

function isSize(value: unknown): value is PictureSize {
  return hasOnly(value, ["height", "width"], 2);
}

function isRule(value: unknown): value is ResizeRule {
  return (
    isSize(value) || hasOnly(value, ["shortestEdge", "longestEdge"], 1) || hasOnly(value, ["maxHeight", "maxWidth"], 2)
  );
}

/** Says whether a value has these lengths: the first ones, and no others. */
function hasOnly(value: unknown, names: readonly string[], required: number): boolean {
  if (!isObject(value)) return false;
  const isLength = (length: unknown) => isWhole(length, 1, LONGEST_EDGE);
  const given = Object.entries(value).filter(([, length]) => length !== undefined);
  return (
    names.slice(0, required).every((name) => isLength(value[name])) &&
    given.every(([name, length]) => names.includes(name) && isLength(length))
  );
}
