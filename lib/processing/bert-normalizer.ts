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
  if (config.strip_accents ?? config.lowercase) result = result.normalize("NFD").replace(accents, "");
  // Character by character: no rule that looks at neighbours applies.
  if (config.lowercase) result = Array.from(result, (character) => character.toLowerCase()).join("");
  return result;
}

/** Splits a text at spaces and punctuation as the Rust library's BertPreTokenizer does. */
export function splitForBert(text: string): string[] {
  return text.match(words) ?? [];
}
