import type { AddedTokens } from "./added-tokens.js";
import {
  type BertNormalizerConfig,
  beginsWithWord,
  endsInWord,
  normalizeForBert,
  splitForBert,
} from "./bert-normalizer.js";
import { isLonger, type WordPiece } from "./word-piece.js";

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
