import { ACCENTS, CHINESE, PUNCTUATION, REMOVED, SPACES } from "./bert-characters.js";

/** A set of characters, from a list of hexadecimal code points and ranges of them. */
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
const words = new RegExp(
  `[${characterClass(PUNCTUATION)}]|[^${characterClass(PUNCTUATION)}${characterClass(SPACES)}]+`,
  "gu",
);
const wordCharacter = `[^${characterClass(PUNCTUATION)}${characterClass(SPACES)}]`;
const firstOfWord = new RegExp(`^${wordCharacter}`, "u");
const lastOfWord = new RegExp(`${wordCharacter}$`, "u");

/** What tokenizer.json says of a BertNormalizer. */
export interface BertNormalizerConfig {
  readonly clean_text?: boolean;
  readonly handle_chinese_chars?: boolean;
  /** null: as `lowercase`. */
  readonly strip_accents?: boolean | null;
  readonly lowercase?: boolean;
}

/**
 * BERT's normaliser as the Rust library has it. The JavaScript library's own differs: it lowers a final Greek sigma to ς,
 * overlooks Chinese characters beyond 16 bits, and has Node's Unicode tables.
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

/** Splits a text at spaces and punctuation as the Rust library's BertPreTokenizer does. */
export function splitForBert(text: string): string[] {
  return text.match(words) ?? [];
}

/** Whether a text ends in the midst of a word, or at a word's end that is not to be seen yet. */
export function endsInWord(text: string): boolean {
  return lastOfWord.test(text.slice(-2));
}

/** Whether a text begins with a word or in the midst of one, not with a space or punctuation. */
export function beginsWithWord(text: string): boolean {
  return firstOfWord.test(text.slice(0, 2));
}
