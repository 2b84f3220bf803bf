import { throwIfAborted } from "../errors.js";
import { rowsOf } from "../torch/batch.js";
import type { Tensor } from "../torch/tensor.js";
import type { EncoderRow } from "./encoder-row.js";
import { keyValuesPay } from "./key-values.js";
import type { Question, QuestionEncoder } from "./question-encoder.js";
import type { TextEncoderCached } from "./text-encoder-cached.js";
import { onesThenZeros, paddedRows } from "./token-ids.js";

/** The most questions of one call. */
const QUESTIONS_AT_ONCE = 64;

/** Reads questions by the text encoder for the CPU, those about the same picture (the same tensor) together. */
export class CachedQuestionEncoder implements QuestionEncoder {
  readonly #encoder: TextEncoderCached;
  readonly #padTokenId: number;

  /** @param config its padTokenId fills the shorter questions of a call up. */
  constructor(encoder: TextEncoderCached, { padTokenId }: { padTokenId: number }) {
    this.#encoder = encoder;
    this.#padTokenId = padTokenId;
  }

  /** @returns embeddings of the length of the longest question of their call; the masks leave out what pads them. */
  async encode(questions: readonly Question[], signal?: AbortSignal): Promise<EncoderRow[]> {
    const byPicture = new Map<Tensor, number[]>();
    for (const [i, { image }] of questions.entries()) byPicture.set(image, [...(byPicture.get(image) ?? []), i]);
    const encoded: EncoderRow[] = [];
    for (const [image, all] of byPicture) {
      const lengths = all.map((i) => (questions[i] as Question).attended);
      const given = all.map((i) => questions[i]?.keyValues).find((keyValues) => keyValues !== undefined);
      throwIfAborted(signal);
      const pays = given === undefined && keyValuesPay(lengths);
      using made = pays ? await this.#encoder.imageKeysValues(image) : undefined;
      const keyValues = given ?? made;
      for (let at = 0; at < all.length; at += QUESTIONS_AT_ONCE) {
        const places = all.slice(at, at + QUESTIONS_AT_ONCE);
        throwIfAborted(signal);
        const texts = paddedRows(
          places.map((i) => questions[i] as Question),
          this.#padTokenId,
        );
        const embeds = keyValues
          ? await this.#encoder.forwardCached(texts, keyValues)
          : await this.#encoder.forward(texts, image);
        for (const [row, hiddenStates] of rowsOf(embeds).entries()) {
          const place = places[row] as number;
          const { attended } = questions[place] as Question;
          encoded[place] = { hiddenStates, attentionMask: onesThenZeros(attended, hiddenStates.shape[1] as number) };
        }
      }
    }
    return encoded;
  }

  imageKeysValues(imageEmbeds: Tensor<"float32">): Promise<Tensor> {
    return this.#encoder.imageKeysValues(imageEmbeds);
  }
}
