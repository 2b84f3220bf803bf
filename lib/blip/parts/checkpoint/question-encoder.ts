/** A checkpoint's way of reading texts about pictures. */
import { NeuronBlipError, throwIfAborted } from "../../../errors.js";
import type { Functions } from "../../../torch/part.js";
import { attentionMaskOf, batchesOf, paddedRows, rowsOf, type Tensor } from "../../../torch/tensor.js";
import { checkInput, tensorFrom } from "../../../torch/torch-values.js";
import { isWhole, shown } from "../../../util/values.js";
import type { EncoderRow } from "../../encoder-row.js";
import type { Question, QuestionEncoder } from "../../question-encoder.js";
import type { PaddedTexts } from "../../token-ids.js";
import type { KeysValuesDtype } from "./checkpoint-config.js";

/** A picture of a call, and how many of its texts are about it. */
export interface PictureTexts {
  readonly picture: Tensor;
  readonly count: number;
}

/**
 * A checkpoint's text encoder: any number of questions, of any length, about any number of pictures. What its
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
   * Reads questions without the pictures' keys and values: the faster way for a few tokens.
   * @param texts those about the first picture first.
   * @param pictures the embeddings of each, float32 [1, image tokens, vision hidden size], and how many of the texts are about it.
   * @returns question embeddings, float32 [questions, length, text hidden size].
   * @throws NeuronBlipError `INVALID_INPUT`, `EXECUTION_FAILED`, `DISPOSED`.
   */
  async forward(texts: PaddedTexts, pictures: readonly PictureTexts[]): Promise<Tensor<"float32">> {
    for (const { picture } of pictures) checkInput("imageEmbeds", picture, "float32", this.#imageShape);
    return this.#call("question_embeds", texts, pictures);
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

  /** Reads questions as `forward`, from what `imageKeysValues` made of the pictures. */
  async forwardCached(texts: PaddedTexts, pictures: readonly PictureTexts[]): Promise<Tensor<"float32">> {
    const shape = ["any", 2, "any", this.#imageShape[1], "any"] as const;
    for (const { picture } of pictures) checkInput("imageKeysValues", picture, this.#dtype, shape);
    return this.#call("question_embeds_cached", texts, pictures);
  }

  async #call(
    name: "question_embeds" | "question_embeds_cached",
    { inputIds, attentionMask }: PaddedTexts,
    pictures: readonly PictureTexts[],
  ): Promise<Tensor<"float32">> {
    const [rows = 0] = inputIds.shape;
    const tensors = pictures.map(({ picture }) => picture);
    const counts = pictures.map(({ count }) => count);
    if (!counts.every((count) => isWhole(count, 1, rows)) || counts.reduce((sum, count) => sum + count, 0) !== rows) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `The pictures' counts, ${shown(counts)}, must be whole numbers from 1 that add up to the ${rows} texts.`,
      );
    }
    const output = await this.#functions.call(name, [inputIds, attentionMask, tensors, counts]);
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

/** Questions about different pictures share a call as long as what this pads is at most this part of all tokens. */
const MOST_PADDING = 0.25;

/** The most tokens of a call without keys and values, where pictures share one: each takes 110 KB for a layer's attention. */
const PLAIN_TOKENS_AT_ONCE = 512;

type IndexedQuestion = Question & { readonly index: number };

/** Questions about one picture, for one call. */
interface Group {
  /** Its embeddings, or its keys and values. */
  readonly picture: Tensor;
  readonly questions: readonly IndexedQuestion[];
}

/** Reads questions by a checkpoint's text encoder, as many together as it pays. */
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
    const byPicture = new Map<Tensor<"float32">, IndexedQuestion[]>();
    for (const [index, question] of questions.entries()) {
      const others = byPicture.get(question.image) ?? [];
      byPicture.set(question.image, others);
      others.push({ ...question, index });
    }
    const encoded: EncoderRow[] = [];
    const [plain, cached]: [Group[], Group[]] = [[], []];
    for (const [image, all] of byPicture) {
      throwIfAborted(signal);
      const given = all.find(({ keyValues }) => keyValues)?.keyValues;
      if (given || !keyValuesPay(all.map(({ attended }) => attended))) {
        (given ? cached : plain).push(...groupsOf(given ?? image, all));
        continue;
      }
      // By themselves, so that no other picture's keys and values are in memory meanwhile.
      using keyValues = await this.#encoder.imageKeysValues(image);
      for (const group of groupsOf(keyValues, all)) await this.#read([group], true, encoded, signal);
    }
    for (const call of callsOf(plain, PLAIN_TOKENS_AT_ONCE)) await this.#read(call, false, encoded, signal);
    for (const call of callsOf(cached)) await this.#read(call, true, encoded, signal);
    return encoded;
  }

  /** Reads groups in one call. @param encoded gets the rows, each at its question's index. */
  async #read(groups: readonly Group[], isCached: boolean, encoded: EncoderRow[], signal: AbortSignal | undefined) {
    throwIfAborted(signal);
    const questions = groups.flatMap((group) => group.questions);
    const width = widthOf(questions);
    const ids = questions.map((question) => question.ids);
    const lengths = questions.map(({ length }) => length);
    const inputIds = paddedRows(ids, width, this.#padTokenId);
    const texts = { inputIds, attentionMask: attentionMaskOf(lengths, width) };
    const pictures = groups.map(({ picture, questions }) => ({ picture, count: questions.length }));
    const embeds = await (isCached
      ? this.#encoder.forwardCached(texts, pictures)
      : this.#encoder.forward(texts, pictures));
    for (const [i, hiddenStates] of rowsOf(embeds).entries()) {
      const question = questions[i];
      if (question) encoded[question.index] = { hiddenStates, attended: question.attended };
    }
  }

  imageKeysValues(imageEmbeds: Tensor<"float32">): Promise<Tensor> {
    return this.#encoder.imageKeysValues(imageEmbeds);
  }
}

function groupsOf(picture: Tensor, questions: readonly IndexedQuestion[]): Group[] {
  return batchesOf(questions, [QUESTIONS_AT_ONCE]).map(({ rows }) => ({ picture, questions: rows }));
}

/**
 * Shares calls out among groups: those of like lengths go together, since all of a call are padded to one.
 * @param mostTokens of a call that groups share, padded.
 */
function callsOf(groups: readonly Group[], mostTokens = Number.POSITIVE_INFINITY): Group[][] {
  const calls: { groups: Group[]; count: number; tokens: number }[] = [];
  const sorted = groups.map((group) => ({ group, width: widthOf(group.questions) })).sort((a, b) => a.width - b.width);
  for (const { group, width } of sorted) {
    const { length } = group.questions;
    const call = calls.at(-1);
    const count = (call?.count ?? 0) + length;
    const tokens = (call?.tokens ?? 0) + length * width;
    const padded = count * width;
    const fits = count <= QUESTIONS_AT_ONCE && padded <= mostTokens && tokens >= (1 - MOST_PADDING) * padded;
    if (call && fits) {
      call.groups.push(group);
      Object.assign(call, { count, tokens });
    } else {
      calls.push({ groups: [group], count: length, tokens: length * width });
    }
  }
  return calls.map((call) => call.groups);
}

function widthOf(questions: readonly IndexedQuestion[]): number {
  return Math.max(...questions.map(({ attended }) => attended));
}
