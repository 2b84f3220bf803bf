/** Reads a text into token ids: added tokens, and between them the pieces of words. */
import {
  type BertNormalizerConfig,
  beginsWithWord,
  endsInWord,
  normalizeForBert,
  splitForBert,
} from "./bert-normalizer.js";

/** How much of a text is read in one step: less than a millisecond's work. */
const STEP = 1024;

/**
 * Reads a text step by step, so that it can be left as soon as enough is known, or interrupted. No step needs more memory than
 * two words: what cleaning drops is dropped at once, and a word that is too long for the vocabulary is not kept.
 *
 * A part of a text is normalised with what is left of the word before it: normalising that again changes nothing, and marks
 * that a letter is followed by come to stand in their order.
 */
export class TextReader {
  readonly #addedTokens: AddedTokens;
  readonly #normalizer: BertNormalizerConfig;
  readonly #model: WordPiece;

  constructor(addedTokens: AddedTokens, normalizer: BertNormalizerConfig, model: WordPiece) {
    this.#addedTokens = addedTokens;
    this.#normalizer = normalizer;
    this.#model = model;
  }

  /** The text's token ids, those of each step; a step may have none. */
  *read(text: string): Generator<number[], void> {
    let at = 0;
    let section = new Section(this.#normalizer, this.#model);
    while (at < text.length) {
      const end = endOfStep(text, at);
      const token = this.#addedTokens.next(text, at, end);
      const ids = section.take(text.slice(at, token?.start ?? end));
      if (token !== undefined) {
        section.close(ids);
        ids.push(token.id);
        section = new Section(this.#normalizer, this.#model);
      }
      at = token?.end ?? end;
      if (at === text.length) section.close(ids);
      yield ids;
    }
  }
}

/** What is between two added tokens. */
class Section {
  readonly #normalizer: BertNormalizerConfig;
  readonly #model: WordPiece;
  /** The beginning, normalised, of a word whose end has not been seen. */
  #word = "";
  /** Whether that word is too long already, and so is not kept. */
  #isLong = false;

  constructor(normalizer: BertNormalizerConfig, model: WordPiece) {
    this.#normalizer = normalizer;
    this.#model = model;
  }

  /** Reads on. @returns the tokens of the words that have ended. */
  take(text: string): number[] {
    const ids: number[] = [];
    const normalized = normalizeForBert(this.#word + text, this.#normalizer);
    if (normalized === "") return ids;
    const words = splitForBert(normalized);
    this.#word = endsInWord(normalized) ? (words.pop() as string) : "";
    if (this.#isLong) {
      const goesOn = beginsWithWord(normalized);
      if (goesOn && words.length === 0) {
        this.#word = "";
        return ids;
      }
      if (goesOn) words.shift();
      ids.push(this.#model.unknownId);
      this.#isLong = false;
    }
    for (const word of words) for (const id of this.#model.idsOf(word)) ids.push(id);
    if (isLonger(this.#word, this.#model.maxCharacters)) {
      this.#word = "";
      this.#isLong = true;
    }
    return ids;
  }

  /** Adds the tokens of the last word. */
  close(ids: number[]): void {
    if (this.#isLong) ids.push(this.#model.unknownId);
    else if (this.#word !== "") ids.push(...this.#model.idsOf(this.#word));
  }
}

/** Never between the two places of one character. */
function endOfStep(text: string, at: number): number {
  const end = Math.min(text.length, at + STEP);
  const last = text.charCodeAt(end - 1);
  const isFirstOfPair = last >= 0xd800 && last < 0xdc00 && end < text.length;
  return isFirstOfPair ? end + 1 : end;
}

/** What tokenizer.json says of a token that is looked for in the text itself, such as [SEP]. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it is looked for after normalisation. */
  readonly normalized?: boolean;
  /** Whether it must stand by itself, between characters that are no word's. */
  readonly single_word?: boolean;
}

export interface FoundToken {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

const endsWord = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const beginsWord = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

/** Finds tokens in a text that is not normalised: of those that begin first, the longest. */
export class AddedTokens {
  /** By the first character, the longest first. */
  readonly #tokens = new Map<string, AddedToken[]>();

  constructor(tokens: readonly AddedToken[]) {
    for (const token of tokens) {
      const first = token.content[0];
      if (first === undefined) continue;
      const others = this.#tokens.get(first) ?? [];
      this.#tokens.set(first, others);
      others.push(token);
    }
    for (const others of this.#tokens.values()) others.sort((one, other) => other.content.length - one.content.length);
  }

  /** The first token that begins in [from, to). */
  next(text: string, from: number, to: number): FoundToken | undefined {
    if (this.#tokens.size === 0) return undefined;
    let start = from;
    while (start < to) {
      const token = this.#tokens.get(text[start] as string)?.find(({ content }) => text.startsWith(content, start));
      if (token === undefined) {
        start++;
        continue;
      }
      const end = start + token.content.length;
      if (!token.single_word || standsAlone(text, start, end)) return { id: token.id, start, end };
      start = end;
    }
    return undefined;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  // A character may take two places.
  return !endsWord.test(text.slice(Math.max(0, start - 2), start)) && !beginsWord.test(text.slice(end, end + 2));
}

/** What tokenizer.json says of a WordPiece model. */
export interface WordPieceConfig {
  readonly vocab: Readonly<Record<string, number>>;
  readonly unk_token: string;
  readonly continuing_subword_prefix: string;
  readonly max_input_chars_per_word: number;
}

/** BERT's model of words, as the Rust library has it: the longest piece of the vocabulary, then the longest that goes on. */
export class WordPiece {
  /** The most characters of a word; a longer one is unknown. */
  readonly maxCharacters: number;
  readonly unknownId: number;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #prefix: string;
  /** The length of the longest piece: nothing longer need be looked up. */
  readonly #longest: number;

  /** @param unknownId the token of words that the vocabulary has no pieces for. */
  constructor(config: WordPieceConfig, unknownId: number) {
    this.#ids = new Map(Object.entries(config.vocab));
    this.unknownId = unknownId;
    this.#prefix = config.continuing_subword_prefix;
    this.maxCharacters = config.max_input_chars_per_word;
    let longest = 0;
    for (const piece of this.#ids.keys()) longest = Math.max(longest, piece.length);
    this.#longest = longest;
  }

  /** A word's pieces. */
  idsOf(word: string): readonly number[] {
    const whole = this.#ids.get(word);
    if (whole !== undefined && word.length <= this.maxCharacters) return [whole];
    if (isLonger(word, this.maxCharacters)) return [this.unknownId];
    const ids: number[] = [];
    let start = 0;
    while (start < word.length) {
      const prefix = start === 0 ? "" : this.#prefix;
      let end = Math.min(word.length, start + this.#longest);
      let id: number | undefined;
      for (; end > start; end--) {
        id = this.#ids.get(prefix + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.unknownId];
      ids.push(id);
      start = end;
    }
    return ids;
  }
}

/** Whether a text has more characters (code points) than that. */
export function isLonger(text: string, characters: number): boolean {
  if (text.length <= characters) return false;
  if (text.length > 2 * characters) return true;
  let count = 0;
  for (const _ of text) if (++count > characters) return true;
  return false;
}
