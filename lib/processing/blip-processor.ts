import { NeuronBlipError, readOptions } from "../errors.js";
import { type HubOptions, splitHubOptions, withoutRevision } from "../hub/hub-options.js";
import { directoryOf } from "../hub/model-directory.js";
import { attentionMaskOf, paddedRows, type Tensor } from "../torch/tensor.js";
import type { ModelDirectory } from "../util/model-path.js";
import { atOnce } from "../util/turns.js";
import { BertTokenizer, checkPadding, type DecodeOptions } from "./bert-tokenizer.js";
import { BlipImageProcessor } from "./blip-image-processor.js";
import type { LoadImageOptions } from "./image-loader.js";
import type { ImageSource, SourceOptions } from "./image-source.js";
import type { PictureSize } from "./picture-geometry.js";

/** What holds for all pictures of a processor, where a call does not say otherwise. */
export interface PictureOptions extends SourceOptions {
  /** The most pixels that an encoded picture may declare. Default 89,478,485, as Pillow. */
  readonly maxPixels?: number;
}

export interface BlipProcessorOptions extends PictureOptions, HubOptions {
  /** Where the tokenizer's files are, where the model directory has none. */
  readonly tokenizer?: ModelDirectory;
  /** Height and width of every prepared picture, instead of what the directory says; whatever its shape. */
  readonly size?: PictureSize;
}

export interface ProcessTextOptions {
  /** The most tokens, [CLS] and [SEP] included. Default: no limit. */
  readonly maxLength?: number;
  /** Cut what is too long instead of throwing `INPUT_TOO_LONG`. Default false. */
  readonly truncation?: boolean;
  /** Fill up to the longest text ("longest", the default) or to `maxLength`. */
  readonly padding?: "longest" | "max_length";
}

export interface TextInputs {
  /** int64 [n, length] */
  readonly inputIds: Tensor<"int64">;
  /** int64 [n, length]: 1 for a token, 0 for padding. */
  readonly attentionMask: Tensor<"int64">;
}

/** Prepares pictures and questions for BLIP, and turns its token ids into text. */
export class BlipProcessor {
  readonly imageProcessor: BlipImageProcessor;
  readonly tokenizer: BertTokenizer;
  readonly #pictures: PictureOptions;

  /** Makes a processor of its parts. @param pictures a number stands for its `maxPixels`. */
  constructor(imageProcessor: BlipImageProcessor, tokenizer: BertTokenizer, pictures: PictureOptions | number = {}) {
    this.imageProcessor = imageProcessor;
    this.tokenizer = tokenizer;
    this.#pictures = typeof pictures === "number" ? { maxPixels: pictures } : pictures;
  }

  /**
   * Reads a model directory's preprocessor_config.json, tokenizer.json and tokenizer_config.json. A name on the Hugging Face Hub is
   * taken as NeuronBlip.fromPretrained takes it, without the weights.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`
   */
  static async fromPretrained(given: ModelDirectory, options: BlipProcessorOptions = {}): Promise<BlipProcessor> {
    const [hub, others] = splitHubOptions(readOptions(options, "BlipProcessor.fromPretrained"));
    const { tokenizer: own, size, ...pictures } = others;
    const directory = await directoryOf(given, hub);
    const [found, tokenizer] = await Promise.all([
      BlipImageProcessor.fromPretrained(directory),
      own === undefined
        ? BertTokenizer.fromPretrained(directory)
        : BertTokenizer.fromPretrained(own, withoutRevision(hub)),
    ]);
    const imageProcessor =
      size === undefined
        ? found
        : new BlipImageProcessor({ ...found.config, size, doResize: true, doCenterCrop: false, doPad: false });
    return new BlipProcessor(imageProcessor, tokenizer, pictures);
  }

  /**
   * Loads and prepares one picture or several.
   * @returns float32 [n, 3, height, width]
   * @throws NeuronBlipError `INVALID_IMAGE`, `IMAGE_TOO_LARGE`, `INVALID_INPUT`, `ABORTED`
   */
  async processImages(
    images: ImageSource | readonly ImageSource[],
    options: LoadImageOptions = {},
  ): Promise<Tensor<"float32">> {
    const given = Object.entries(readOptions(options, "processImages")).filter(([, value]) => value !== undefined);
    return this.imageProcessor.preprocess(images, { ...this.#pictures, ...Object.fromEntries(given) });
  }

  /**
   * Encodes one question or several, padded on the right to one length. It holds the event loop meanwhile: see
   * `BertTokenizer.encode`.
   * @throws NeuronBlipError `INVALID_INPUT` for a question without words, `INPUT_TOO_LONG`
   */
  processText(texts: string | readonly string[], given: ProcessTextOptions = {}): TextInputs {
    const { padding = "longest", ...limits } = readOptions(given, "processText", [
      "maxLength",
      "truncation",
      "padding",
    ]);
    const { maxLength } = limits;
    const list = typeof texts === "string" ? [texts] : texts;
    if (!Array.isArray(list) || list.length === 0) {
      throw new NeuronBlipError("INVALID_INPUT", "Give a question as a string, or several as an array of strings.");
    }
    if (padding === "max_length") checkPadding(maxLength);
    const encoded = list.map((text: string) => atOnce(this.tokenizer.encodeSteps(text, limits)));
    const lengths = encoded.map((ids) => ids.length);
    const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
    const width = padding === "max_length" && maxLength !== undefined ? maxLength : longest;
    const inputIds = paddedRows(encoded, width, this.tokenizer.padTokenId);
    return { inputIds, attentionMask: attentionMaskOf(lengths, width) };
  }

  /** Returns the text of token ids; special tokens are left out unless asked for. See BertTokenizer.decode. */
  decode(ids: Iterable<number | bigint>, options?: DecodeOptions): string {
    return this.tokenizer.decode(ids, options);
  }
}
