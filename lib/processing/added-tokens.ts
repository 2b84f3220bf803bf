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
