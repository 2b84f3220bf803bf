/** Reads a text into token ids: added tokens, and between them, normalised, the pieces of words. */
import { ACCENTS, CHINESE, PUNCTUATION, REMOVED, SPACES } from "./bert-characters.js";

/** How much of a text is read in one step: less than a millisecond's work. */
const STEP = 1024;

/**
 * Reads a text step by step, so that it can be left as soon as enough is known, or interrupted. No step needs more memory than
 * two words: what cleaning drops is dropped at once, and of a word that is too long for the vocabulary no more is kept than shows it.
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

  /** Yields the text's token ids, those of each step; a step may have none. A short text takes one step. */
  *read(text: string): Generator<number[], void> {
    const { maxCharacters } = this.#model;
    // The beginning, normalised, of a word that goes on in the next step.
    let begun = "";
    for (let at = 0; at < text.length; ) {
      let end = Math.min(text.length, at + STEP);
      // Never between the two places of one character.
      if (end < text.length && LEADS_A_PAIR.test(text.charAt(end - 1))) end++;
      const token = this.#addedTokens.next(text, at, end);
      const normalized = normalizeForBert(begun + text.slice(at, token?.start ?? end), this.#normalizer);
      at = token?.end ?? end;
      const words: string[] = normalized.match(WORDS) ?? [];
      const goesOn = token === undefined && at < text.length && ENDS_IN_WORD.test(normalized.slice(-2));
      begun = goesOn ? [...(words.pop() ?? "")].slice(0, maxCharacters + 1).join("") : "";
      const ids: number[] = [];
      for (const word of words) ids.push(...this.#model.idsOf(word));
      if (token !== undefined) ids.push(token.id);
      yield ids;
    }
  }
}

/** Makes a set of characters, from a list of hexadecimal code points and ranges of them. */
function characterClass(list: string): string {
  const codePoint = (code: string) => `\\u{${code}}`;
  return list
    .split(" ")
    .map((range) => range.split("-").map(codePoint).join("-"))
    .join("");
}

// Lone surrogates are no characters: the Rust library cannot even be given them.
const removed = new RegExp(`[${characterClass(REMOVED)}\\ud800-\\udfff]`, "gu");
const spaces = new RegExp(`[${characterClass(SPACES)}]`, "gu");
const chinese = new RegExp(`[${characterClass(CHINESE)}]`, "gu");
const accents = new RegExp(`[${characterClass(ACCENTS)}]`, "gu");
/** A word: the Rust library's BertPreTokenizer splits at spaces and punctuation, each of which is one. */
export const WORDS = new RegExp(
  `[${characterClass(PUNCTUATION)}]|[^${characterClass(PUNCTUATION)}${characterClass(SPACES)}]+`,
  "gu",
);
/** Of a text's end: in the midst of a word, or at a word's end that is not to be seen yet. */
const ENDS_IN_WORD = new RegExp(`[^${characterClass(PUNCTUATION)}${characterClass(SPACES)}]$`, "u");
/** The first of the two places of a character that takes two. */
const LEADS_A_PAIR = /[\ud800-\udbff]/;

/** What tokenizer.json says of a BertNormalizer. */
export interface BertNormalizerConfig {
  readonly clean_text?: boolean;
  readonly handle_chinese_chars?: boolean;
  /** null: as `lowercase`. */
  readonly strip_accents?: boolean | null;
  readonly lowercase?: boolean;
}

/**
 * Normalises a text as BERT's normaliser in the Rust library does. The JavaScript library's own differs: it lowers a final Greek
 * sigma to ς, overlooks Chinese characters beyond 16 bits, and has Node's Unicode tables.
 */
export function normalizeForBert(text: string, config: BertNormalizerConfig): string {
  let result = text;
  if (config.clean_text) result = result.replace(removed, "").replace(spaces, " ");
  if (config.handle_chinese_chars) result = result.replace(chinese, " $& ");
  // Before decomposing, too, which takes long to bring many marks in order.
  if (config.strip_accents ?? config.lowercase) {
    result = result.replace(accents, "").normalize("NFD").replace(accents, "");
  }
  // Character by character: no rule that looks at neighbours applies.
  if (config.lowercase) result = Array.from(result, (character) => character.toLowerCase()).join("");
  return result;
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

  /** Finds the first token that begins in [from, to). */
  next(text: string, from: number, to: number): FoundToken | undefined {
    if (this.#tokens.size === 0) return undefined;
    let start = from;
    while (start < to) {
      const token = this.#tokens.get(text.charAt(start))?.find(({ content }) => text.startsWith(content, start));
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

  /** Makes the model. @param unknownId the token of words that the vocabulary has no pieces for. */
  constructor(config: WordPieceConfig, unknownId: number) {
    this.#ids = new Map(Object.entries(config.vocab));
    this.unknownId = unknownId;
    this.#prefix = config.continuing_subword_prefix;
    this.maxCharacters = config.max_input_chars_per_word;
    let longest = 0;
    for (const piece of this.#ids.keys()) longest = Math.max(longest, piece.length);
    this.#longest = longest;
  }

  /** Returns the ids of a word's pieces. */
  idsOf(word: string): readonly number[] {
    const whole = this.#ids.get(word);
    if (whole !== undefined && word.length <= this.maxCharacters) return [whole];
    if (word.length > this.maxCharacters && [...word].length > this.maxCharacters) return [this.unknownId];
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
