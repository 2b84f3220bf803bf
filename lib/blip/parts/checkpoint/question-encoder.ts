/** A checkpoint's way of reading texts about pictures: those about the same picture together. */
import { throwIfAborted } from "../../../errors.js";
import type { Functions } from "../../../torch/part.js";
import { attentionMaskOf, batchesOf, paddedRows, rowsOf, type Tensor } from "../../../torch/tensor.js";
import { checkInput, tensorFrom } from "../../../torch/torch-values.js";
import type { EncoderRow } from "../../encoder-row.js";
import type { Question, QuestionEncoder } from "../../question-encoder.js";
import type { PaddedTexts } from "../../token-ids.js";
import type { KeysValuesDtype } from "./checkpoint-config.js";

/**
 * A checkpoint's text encoder: any number of questions about one picture, of any length. What its
 * attention to the picture computes of the picture alone can be computed once (`imageKeysValues`), or not at all (`forward`).
 */
export class TextEncoderCached {
  readonly #functions: Functions;
  readonly #dtype: KeysValuesDtype;
  readonly #imageShape: readonly [1, number | "any", number];

  /**
   * @param dtype of the keys and values.
   * @param shapes of a picture's embeddings; "any" tokens where pictures may be of any size.
   */
  constructor(
    functions: Functions,
    dtype: KeysValuesDtype,
    shapes: { imageTokens: number | "any"; visionHiddenSize: number },
  ) {
    this.#functions = functions;
    this.#dtype = dtype;
    this.#imageShape = [1, shapes.imageTokens, shapes.visionHiddenSize];
  }

  /**
   * Reads questions without the picture's keys and values: the faster way for a few tokens.
   * @param imageEmbeds float32 [1, image tokens, vision hidden size].
   * @returns question embeddings, float32 [questions, length, text hidden size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async forward({ inputIds, attentionMask }: PaddedTexts, imageEmbeds: Tensor): Promise<Tensor<"float32">> {
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#imageShape);
    const output = await this.#functions.call("question_embeds", [inputIds, attentionMask, imageEmbeds]);
    return tensorFrom(output, "question_embeds", 0, this.#functions.path);
  }

  /**
   * Computes what `forwardCached` needs of a picture.
   * @param imageEmbeds float32 [1, image tokens, vision hidden size].
   * @returns [layers, 2, heads, image tokens, head size], float32, or bfloat16 where the model was loaded in it and the CPU has it.
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async imageKeysValues(imageEmbeds: Tensor): Promise<Tensor> {
    checkInput("imageEmbeds", imageEmbeds, "float32", this.#imageShape);
    const output = await this.#functions.call("image_keys_values", [imageEmbeds]);
    return tensorFrom(output, "image_keys_values", 0, this.#functions.path, this.#dtype);
  }

  /** Reads questions as `forward`, from what `imageKeysValues` made of the picture. */
  async forwardCached({ inputIds, attentionMask }: PaddedTexts, keyValues: Tensor): Promise<Tensor<"float32">> {
    checkInput("imageKeysValues", keyValues, this.#dtype, ["any", 2, "any", this.#imageShape[1], "any"]);
    const output = await this.#functions.call("question_embeds_cached", [inputIds, attentionMask, keyValues]);
    return tensorFrom(output, "question_embeds", 0, this.#functions.path);
  }
}

/**
 * From so many tokens about one picture on, computing its keys and values takes less time than it saves them; for fewer, each attends
 * to the picture's embeddings by themselves.
 */
const TOKENS_THAT_PAY = 64;

/**
 * Tells whether a picture's keys and values are worth computing for texts about it.
 * @param lengths of the texts, in tokens.
 */
export function keyValuesPay(lengths: Iterable<number>): boolean {
  let tokens = 0;
  for (const length of lengths) {
    tokens += length;
    if (tokens >= TOKENS_THAT_PAY) return true;
  }
  return false;
}

/** The most questions of one call. */
const QUESTIONS_AT_ONCE = 64;

/** Reads questions by a checkpoint's text encoder, those about the same picture (the same tensor) together. */
export class CachedQuestionEncoder implements QuestionEncoder {
  readonly #encoder: TextEncoderCached;
  readonly #padTokenId: number;

  /** @param config its padTokenId fills the shorter questions of a call up. */
  constructor(encoder: TextEncoderCached, { padTokenId }: { padTokenId: number }) {
    this.#encoder = encoder;
    this.#padTokenId = padTokenId;
  }

  /** Encodes questions. @returns embeddings as long as the longest question of their call; the masks leave out what pads them. */
  async encode(questions: readonly Question[], signal?: AbortSignal): Promise<EncoderRow[]> {
    const byPicture = new Map<Tensor<"float32">, (Question & { readonly index: number })[]>();
    for (const [index, question] of questions.entries()) {
      const others = byPicture.get(question.image) ?? [];
      byPicture.set(question.image, others);
      others.push({ ...question, index });
    }
    const encoded: EncoderRow[] = [];
    for (const [image, all] of byPicture) {
      throwIfAborted(signal);
      const given = all.find(({ keyValues }) => keyValues)?.keyValues;
      const pays = !given && keyValuesPay(all.map(({ attended }) => attended));
      const made = pays ? await this.#encoder.imageKeysValues(image) : undefined;
      const keyValues = given ?? made;
      try {
        for (const { rows: slice } of batchesOf(all, [QUESTIONS_AT_ONCE])) {
          throwIfAborted(signal);
          const width = Math.max(...slice.map(({ attended }) => attended));
          const ids = slice.map((question) => question.ids);
          const lengths = slice.map(({ length }) => length);
          const inputIds = paddedRows(ids, width, this.#padTokenId);
          const texts = { inputIds, attentionMask: attentionMaskOf(lengths, width) };
          const embeds = keyValues
            ? await this.#encoder.forwardCached(texts, keyValues)
            : await this.#encoder.forward(texts, image);
          for (const [i, hiddenStates] of rowsOf(embeds).entries()) {
            const question = slice[i];
            if (question) encoded[question.index] = { hiddenStates, attended: question.attended };
          }
        }
      } finally {
        made?.dispose();
      }
    }
    return encoded;
  }

  imageKeysValues(imageEmbeds: Tensor<"float32">): Promise<Tensor> {
    return this.#encoder.imageKeysValues(imageEmbeds);
  }
}
