/** What tokenizer.json, tokenizer_config.json and vocab.txt say, checked. */
import { join } from "node:path";
import { NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readTextIfThere } from "../util/json-file.js";
import { isWhole, shown } from "../util/values.js";
import type { AddedToken, BertNormalizerConfig, WordPieceConfig } from "./text-reader.js";

/** A tokenizer.json with everything that is needed of it. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: BertNormalizerConfig & { readonly type: "BertNormalizer" };
  readonly pre_tokenizer: { readonly type: "BertPreTokenizer" };
  /** [CLS] and [SEP] are added whatever it says, as transformers' BertTokenizer does. */
  readonly post_processor: null;
  readonly decoder: { readonly type: "WordPiece"; readonly prefix: string; readonly cleanup: boolean };
  readonly model: WordPieceConfig & { readonly type: "WordPiece" };
}

/** Longer words are unknown to BERT's vocabulary ("max_input_chars_per_word"). */
const MAX_WORD_CHARACTERS = 100;

/** The most that a file may make of that: a word is read whole. */
const MOST_WORD_CHARACTERS = 10_000;

/** Far more than any vocabulary has: a table that long is made. */
const MOST_TOKENS = 2 ** 24;

const SPECIAL = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true } as const;

const SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;

/**
 * Checks a tokenizer.json, and adds what transformers' BertTokenizer adds where something is missing.
 * @param config tokenizer_config.json, which says how to normalise where tokenizer.json does not.
 * @throws NeuronBlipError `ARTIFACT_MISMATCH` for a tokenizer that is not BERT's, `ARTIFACT_CORRUPT`
 */
export function checkTokenizerJson(json: unknown, config: JsonObject): TokenizerJson {
  if (!isObject(json)) throw corrupt("tokenizer.json", "it", json, "an object");
  const model = partOf(json, "model", "WordPiece");
  if (model === undefined) throw notBert("model", null, "WordPiece");
  partOf(json, "pre_tokenizer", "BertPreTokenizer");
  const decoder = isObject(json.decoder) && json.decoder.type === "WordPiece" ? json.decoder : {};
  const checkedModel = checkModel(model);
  return {
    added_tokens: withSpecialTokens(checkAddedTokens(json.added_tokens ?? []), checkedModel.vocab),
    normalizer: checkNormalizer(partOf(json, "normalizer", "BertNormalizer") ?? normalizerOf(config)),
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: {
      type: "WordPiece",
      prefix: stringOf(decoder.prefix, "decoder.prefix", "##"),
      cleanup: booleanOf(decoder.cleanup, "decoder.cleanup", true) as boolean,
    },
    model: checkedModel,
  };
}

/** Checks a tokenizer_config.json. @throws NeuronBlipError `ARTIFACT_CORRUPT` */
export function checkTokenizerConfig(config: unknown): JsonObject {
  const file = "tokenizer_config.json";
  if (!isObject(config)) throw corrupt(file, "it", config, "an object");
  for (const name of ["cls_token", "sep_token", "pad_token"]) {
    const value = config[name] ?? undefined;
    const isToken = typeof value === "string" || (isObject(value) && typeof value.content === "string");
    if (value !== undefined && !isToken) throw corrupt(file, name, value, "a token's text");
  }
  const extra = config.additional_special_tokens ?? [];
  // transformers 5 also writes a dict of names here.
  if (typeof extra !== "object") throw corrupt(file, "additional_special_tokens", extra, "a list of tokens");
  const cleanUp = config.clean_up_tokenization_spaces ?? false;
  if (typeof cleanUp !== "boolean") throw corrupt(file, "clean_up_tokenization_spaces", cleanUp, "true or false");
  return config;
}

/** Makes a tokenizer.json of a directory's vocab.txt, as transformers does; undefined where there is no such file. */
export async function readVocabulary(directory: string): Promise<JsonObject | undefined> {
  const text = await readTextIfThere(join(directory, "vocab.txt"));
  if (text === undefined) return undefined;
  const tokens = text.replace(/\n$/, "").split(/\r?\n/);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return { model: { type: "WordPiece", vocab } };
}

/** Returns a part of tokenizer.json; undefined where there is none, which is BERT's own. */
function partOf(json: JsonObject, name: string, expected: string): JsonObject | undefined {
  const part = json[name] ?? undefined;
  if (part === undefined) return undefined;
  const type = isObject(part) ? (part.type ?? undefined) : null;
  // The oldest files do not say the model's type.
  if (isObject(part) && (type === expected || (name === "model" && type === undefined))) return part;
  throw notBert(name, type ?? null, expected);
}

function checkModel(model: JsonObject): TokenizerJson["model"] {
  const { vocab } = model;
  if (!isObject(vocab)) throw corrupt("tokenizer.json", "model.vocab", vocab, "an object of tokens and their ids");
  for (const token of Object.keys(vocab)) checkId(vocab[token], `the id of ${shown(token)}`);
  const most = model.max_input_chars_per_word ?? MAX_WORD_CHARACTERS;
  if (!isWhole(most, 1, MOST_WORD_CHARACTERS)) {
    const must = `a whole number from 1 to ${MOST_WORD_CHARACTERS}, since a word is read whole`;
    throw corrupt("tokenizer.json", "model.max_input_chars_per_word", most, must);
  }
  return {
    type: "WordPiece",
    vocab: vocab as Record<string, number>,
    unk_token: stringOf(model.unk_token, "model.unk_token", "[UNK]"),
    continuing_subword_prefix: stringOf(model.continuing_subword_prefix, "model.continuing_subword_prefix", "##"),
    max_input_chars_per_word: most,
  };
}

function checkAddedTokens(tokens: unknown): AddedToken[] {
  if (!Array.isArray(tokens)) throw corrupt("tokenizer.json", "added_tokens", tokens, "a list of tokens");
  return tokens.map((token: unknown, i) => {
    if (!isObject(token) || typeof token.content !== "string") {
      throw corrupt("tokenizer.json", `added_tokens[${i}]`, token, "an object with a token's content and id");
    }
    checkId(token.id, `added_tokens[${i}].id`);
    for (const flag of ["normalized", "single_word", "special", "lstrip", "rstrip"]) {
      booleanOf(token[flag], `added_tokens[${i}].${flag}`, false);
    }
    const normalized = token.normalized ?? token.special !== true;
    return { ...token, normalized } as unknown as AddedToken;
  });
}

/** Adds BERT's own special tokens, which are that whether the file says so or not. */
function withSpecialTokens(tokens: readonly AddedToken[], vocab: Readonly<Record<string, number>>): AddedToken[] {
  const contents = new Set(tokens.map(({ content }) => content));
  const missing = SPECIAL_TOKENS.flatMap((content) => {
    const id = Object.hasOwn(vocab, content) && !contents.has(content) ? vocab[content] : undefined;
    return id === undefined ? [] : { id, content, ...SPECIAL };
  });
  return [...missing, ...tokens];
}

function checkNormalizer(normalizer: JsonObject): TokenizerJson["normalizer"] {
  const flag = (name: string, fallback: boolean | null) =>
    booleanOf(normalizer[name], `normalizer.${name}`, fallback) as boolean;
  return {
    type: "BertNormalizer",
    clean_text: flag("clean_text", true),
    handle_chinese_chars: flag("handle_chinese_chars", true),
    strip_accents: flag("strip_accents", null),
    lowercase: flag("lowercase", true),
  };
}

/** Makes the normaliser as transformers' BertTokenizer does. */
function normalizerOf(config: JsonObject): JsonObject {
  return {
    clean_text: true,
    handle_chinese_chars: config.tokenize_chinese_chars,
    strip_accents: config.strip_accents,
    lowercase: config.do_lower_case,
  };
}

function checkId(id: unknown, name: string): void {
  if (isWhole(id, 0, MOST_TOKENS - 1)) return;
  throw corrupt("tokenizer.json", name, id, `a whole number from 0 to ${MOST_TOKENS - 1}, as no vocabulary has more`);
}

function stringOf(value: unknown, name: string, fallback: string): string {
  const given = value ?? fallback;
  if (typeof given === "string") return given;
  throw corrupt("tokenizer.json", name, given, "a text");
}

function booleanOf(value: unknown, name: string, fallback: boolean | null): boolean | null {
  const given = value ?? fallback;
  if (typeof given === "boolean" || given === null) return given;
  throw corrupt("tokenizer.json", name, given, "true or false");
}

function notBert(part: string, type: unknown, expected: string): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `tokenizer.json is not BERT's: its ${part} is ${shown(type)} where BLIP has "${expected}".`,
  );
}

function corrupt(file: string, name: string, value: unknown, must: string): NeuronBlipError {
  return new NeuronBlipError("ARTIFACT_CORRUPT", `${file}: ${name} must be ${must}, not ${shown(value)}.`);
}
