import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { messageOf, NeuronBlipError } from "../errors.js";
import { isObject, type JsonObject, readJsonIfThere } from "../json-file.js";
import { type BertNormalizerConfig, normalizeForBert, splitForBert } from "./bert-normalizer.js";

export interface EncodeOptions {
  /** The most tokens, [CLS] and [SEP] included. Default: no limit. */
  readonly maxLength?: number;
  /** Cut what is too long (keeping [CLS] and [SEP]) instead of throwing `INPUT_TOO_LONG`. Default false. */
  readonly truncation?: boolean;
  /** Fill up to `maxLength` with [PAD]. Default false. */
  readonly padding?: boolean;
}

export interface EncodedText {
  readonly ids: number[];
  /** 1 for a token, 0 for padding. */
  readonly attentionMask: number[];
}

export interface DecodeOptions {
  /** Leave out [CLS], [SEP], [PAD] and the like. Default true (transformers' default is false). */
  readonly skipSpecialTokens?: boolean;
  /** Join "don ' t" to "don't" and the like. Default: what tokenizer_config.json says, else false. */
  readonly cleanUpTokenizationSpaces?: boolean;
}

/** What is used of @huggingface/tokenizers, whose own declarations do not resolve in an ESM project. */
interface LibraryTokenizer {
  normalizer: (text: string) => string;
  pre_tokenizer: (text: string) => string[];
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

/** Longer words are unknown to BERT's vocabulary ("max_input_chars_per_word"). */
const MAX_WORD_CHARACTERS = 100;

const SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const;

/**
 * BERT's WordPiece tokenizer, equal to transformers' `BertTokenizerFast`. @huggingface/tokenizers does the vocabulary and the
 * special tokens; normalisation, truncation and padding are ours.
 */
export class BertTokenizer {
  readonly #tokenizer: LibraryTokenizer;
  readonly #cleanUp: boolean;
  readonly clsTokenId: number;
  readonly sepTokenId: number;
  readonly padTokenId: number;

  /**
   * @param tokenizerJson tokenizer.json, as transformers writes it
   * @param config tokenizer_config.json
   * @throws NeuronBlipError `ARTIFACT_MISMATCH` for a tokenizer that is not BERT's, `ARTIFACT_CORRUPT`
   */
  constructor(tokenizerJson: object, config: object = {}) {
    checkKind(tokenizerJson as JsonObject);
    try {
      this.#tokenizer = new Tokenizer(tokenizerJson, config);
    } catch (error) {
      throw new NeuronBlipError("ARTIFACT_CORRUPT", `The tokenizer cannot be used: ${messageOf(error)}.`, {
        cause: error,
      });
    }
    const { normalizer } = tokenizerJson as { normalizer: BertNormalizerConfig };
    this.#tokenizer.normalizer = (text) => normalizeForBert(text, normalizer);
    this.#tokenizer.pre_tokenizer = splitForBert;
    const { clean_up_tokenization_spaces: cleanUp, ...names } = config as JsonObject;
    this.#cleanUp = cleanUp === true;
    this.clsTokenId = this.#specialId(names.cls_token, "[CLS]");
    this.sepTokenId = this.#specialId(names.sep_token, "[SEP]");
    this.padTokenId = this.#specialId(names.pad_token, "[PAD]");
  }

  /**
   * Reads a directory's tokenizer.json and tokenizer_config.json; or its vocab.txt where there is no tokenizer.json.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`
   */
  static async fromPretrained(directory: string): Promise<BertTokenizer> {
    const config = (await readJsonIfThere(join(directory, "tokenizer_config.json"))) ?? {};
    const tokenizer =
      (await readJsonIfThere(join(directory, "tokenizer.json"))) ?? (await readVocabulary(directory, config));
    if (tokenizer === undefined) {
      throw new NeuronBlipError(
        "ARTIFACT_NOT_FOUND",
        `There is no tokenizer.json (nor vocab.txt) in "${directory}". Copy the tokenizer's files there, ` +
          "or name the directory that has them with the option `tokenizer`.",
      );
    }
    return new BertTokenizer(tokenizer, config);
  }

  /**
   * Encodes a text as `[CLS] text [SEP]`. Without `truncation`, a text of more than 100 characters for each token of
   * `maxLength` is refused unread, so that it does not hold the event loop.
   * @throws NeuronBlipError `INPUT_TOO_LONG` for more than `maxLength` tokens without `truncation`, `INVALID_INPUT`
   */
  encode(text: string, options: EncodeOptions = {}): EncodedText {
    const { maxLength = Number.POSITIVE_INFINITY, truncation = false, padding = false } = options;
    if (typeof text !== "string") {
      throw new NeuronBlipError("INVALID_INPUT", `A text must be a string, not a value of type ${typeof text}.`);
    }
    const validLength =
      maxLength === Number.POSITIVE_INFINITY ? !padding : Number.isInteger(maxLength) && maxLength >= 2;
    if (!validLength) {
      throw new NeuronBlipError("INVALID_INPUT", `maxLength must be a whole number of at least 2, not ${maxLength}.`);
    }
    if (!truncation && text.length > maxLength * MAX_WORD_CHARACTERS) {
      throw tooLong(text, `${text.length} characters`, `${maxLength} tokens of ${MAX_WORD_CHARACTERS} characters`);
    }
    const { ids: body } = this.#tokenizer.encode(text, { add_special_tokens: false });
    const length = body.length + 2;
    if (length > maxLength && !truncation) {
      throw tooLong(text, `${length} tokens, [CLS] and [SEP] included`, `${maxLength}`);
    }
    const ids = [this.clsTokenId, ...body.slice(0, maxLength - 2), this.sepTokenId];
    const attentionMask = ids.map(() => 1);
    while (padding && ids.length < maxLength) {
      ids.push(this.padTokenId);
      attentionMask.push(0);
    }
    return { ids, attentionMask };
  }

  /**
   * The text of token ids. Ids that the vocabulary does not have (such as BLIP's 30522, [DEC]) are left out.
   * @throws NeuronBlipError `INVALID_INPUT` for ids that are not whole numbers >= 0
   */
  decode(ids: Iterable<number | bigint>, options: DecodeOptions = {}): string {
    const { skipSpecialTokens = true, cleanUpTokenizationSpaces = this.#cleanUp } = options;
    const known: number[] = [];
    for (const id of ids) {
      const number = Number(id);
      if (!Number.isInteger(number) || number < 0) {
        throw new NeuronBlipError("INVALID_INPUT", `A token id is a whole number >= 0, not ${String(id)}.`);
      }
      if (this.#tokenizer.id_to_token(number) !== undefined) known.push(number);
    }
    if (known.length === 0) return ""; // the library throws
    return this.#tokenizer.decode(known, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: cleanUpTokenizationSpaces,
    });
  }

  /** @param configured the token's name in tokenizer_config.json: a string, an AddedToken's object, or nothing */
  #specialId(configured: unknown, name: string): number {
    const content = isObject(configured) ? configured.content : configured;
    const token = typeof content === "string" ? content : name;
    const id = this.#tokenizer.token_to_id(token);
    if (id === undefined) {
      throw new NeuronBlipError("ARTIFACT_MISMATCH", `The tokenizer has no token "${token}": it is not BERT's.`);
    }
    return id;
  }
}

function tooLong(text: string, length: string, limit: string): NeuronBlipError {
  const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return new NeuronBlipError(
    "INPUT_TOO_LONG",
    `The text ${JSON.stringify(shown)} has ${length}, and the limit is ${limit}. ` +
      "Shorten it, cut it with the option truncation: true, or compile the model for longer questions.",
  );
}

function checkKind(tokenizer: JsonObject): void {
  const kinds = [
    ["model", "WordPiece"],
    ["normalizer", "BertNormalizer"],
    ["pre_tokenizer", "BertPreTokenizer"],
  ] as const;
  for (const [part, expected] of kinds) {
    const value = tokenizer[part];
    const type = isObject(value) ? value.type : undefined;
    // The oldest files do not say the model's type.
    if (type === expected || (part === "model" && isObject(value) && type === undefined)) continue;
    throw new NeuronBlipError(
      "ARTIFACT_MISMATCH",
      `tokenizer.json is not BERT's: its ${part} is ${JSON.stringify(type ?? null)} where BLIP has "${expected}".`,
    );
  }
}

/** A tokenizer.json of a vocab.txt, as transformers makes one; undefined where there is no such file. */
async function readVocabulary(directory: string, config: JsonObject): Promise<JsonObject | undefined> {
  let text: string;
  try {
    text = await readFile(join(directory, "vocab.txt"), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NeuronBlipError(
      "ARTIFACT_CORRUPT",
      `"${join(directory, "vocab.txt")}" cannot be read: ${messageOf(error)}.`,
      {
        cause: error,
      },
    );
  }
  const tokens = text.replace(/\n$/, "").split(/\r?\n/);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    added_tokens: SPECIAL_TOKENS.filter((token) => token in vocab).map((content) => ({
      id: vocab[content],
      content,
      ...flags,
    })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: MAX_WORD_CHARACTERS,
      vocab,
    },
  };
}
