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
