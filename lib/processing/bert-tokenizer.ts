import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { messageOf, NeuronBlipError, readOptions } from "../errors.js";
import { HUB_OPTIONS, type HubOptions } from "../hub/hub-options.js";
import { directoryOf } from "../hub/model-directory.js";
import { isObject, type JsonObject, readJsonIfThere } from "../util/json-file.js";
import type { ModelDirectory } from "../util/model-path.js";
import { atOnce } from "../util/turns.js";
import { shown } from "../util/values.js";
import { AddedTokens, normalizeForBert, TextReader, WORDS, WordPiece } from "./text-reader.js";
import { checkTokenizerConfig, checkTokenizerJson, readVocabulary, type TokenizerJson } from "./tokenizer-json.js";

export interface EncodeOptions {
  /** The most tokens, [CLS] and [SEP] included. Default: no limit. */
  readonly maxLength?: number;
  /** Cut what is too long (keeping [CLS] and [SEP]) instead of throwing `INPUT_TOO_LONG`. Default false. */
  readonly truncation?: boolean;
  /** Fill up to `maxLength` with [PAD]. Default false. */
  readonly padding?: boolean;
}

interface EncodeStepsOptions extends Omit<EncodeOptions, "padding"> {
  readonly allowEmpty?: boolean;
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

/** Texts of up to so many characters are read to their end in any case. */
const SHORT = 2048;

/** How far a text is filled up at most: far more than any BERT reads. */
const LONGEST_PADDING = 65_536;

/**
 * BERT's WordPiece tokenizer, equal to transformers' `BertTokenizerFast`. Encoding is ours, so that a long text can be left as
 * soon as enough of it is known; @huggingface/tokenizers decodes.
 */
export class BertTokenizer {
  readonly #tokenizer: LibraryTokenizer;
  /** Undefined where some tokens are looked for in the normalised text: the library reads whole texts then. */
  readonly #reader: TextReader | undefined;
  readonly #cleanUp: boolean;
  readonly clsTokenId: number;
  readonly sepTokenId: number;
  readonly padTokenId: number;
  /** How many tokens a model needs to have for this tokenizer: its largest id and one. */
  readonly vocabSize: number;

  /**
   * Makes a tokenizer of the files' content.
   * @param tokenizerJson tokenizer.json, as transformers writes it
   * @param config tokenizer_config.json
   * @throws NeuronBlipError `ARTIFACT_MISMATCH` for a tokenizer that is not BERT's, `ARTIFACT_CORRUPT`
   */
  constructor(tokenizerJson: object, config: object = {}) {
    const names = checkTokenizerConfig(config);
    const json = checkTokenizerJson(tokenizerJson, names);
    const { added_tokens: addedTokens, normalizer, model } = json;
    try {
      // Which further tokens are special, added_tokens says, too.
      this.#tokenizer = new Tokenizer(json, { additional_special_tokens: specialTokens(names) });
    } catch (error) {
      throw new NeuronBlipError("ARTIFACT_CORRUPT", `The tokenizer cannot be used: ${messageOf(error)}.`, {
        cause: error,
      });
    }
    this.#tokenizer.normalizer = (text) => normalizeForBert(text, normalizer);
    this.#tokenizer.pre_tokenizer = (text) => text.match(WORDS) ?? [];
    this.#cleanUp = names.clean_up_tokenization_spaces === true;
    this.clsTokenId = this.#specialId(names.cls_token, "[CLS]");
    this.sepTokenId = this.#specialId(names.sep_token, "[SEP]");
    this.padTokenId = this.#specialId(names.pad_token, "[PAD]");
    this.vocabSize = vocabSizeOf(json);
    const words = new WordPiece(model, this.#specialId(model.unk_token, "[UNK]"));
    const readsParts = !addedTokens.some(({ normalized }) => normalized);
    this.#reader = readsParts ? new TextReader(new AddedTokens(addedTokens), normalizer, words) : undefined;
  }

  /**
   * Reads a directory's tokenizer.json and tokenizer_config.json; or its vocab.txt where there is no tokenizer.json. A name on the
   * Hugging Face Hub is taken as NeuronBlip.fromPretrained takes it, without the weights.
   * @throws NeuronBlipError `ARTIFACT_NOT_FOUND`, `ARTIFACT_CORRUPT`, `ARTIFACT_MISMATCH`
   */
  static async fromPretrained(given: ModelDirectory, options: HubOptions = {}): Promise<BertTokenizer> {
    const directory = await directoryOf(given, readOptions(options, "BertTokenizer.fromPretrained", HUB_OPTIONS));
    const config = (await readJsonIfThere(join(directory, "tokenizer_config.json"))) ?? {};
    const tokenizer = (await readJsonIfThere(join(directory, "tokenizer.json"))) ?? (await readVocabulary(directory));
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
   * Encodes a text as `[CLS] text [SEP]`. It holds the event loop while it reads: with `maxLength` only until that many tokens
   * are certain, which is long only for megabytes that give no token, such as spaces. NeuronBlip's methods do not hold it.
   * @throws NeuronBlipError `INPUT_TOO_LONG` for more than `maxLength` tokens without `truncation`, `INVALID_INPUT`
   */
  encode(text: string, given: EncodeOptions = {}): EncodedText {
    const options = readOptions(given, "encode", ["maxLength", "truncation", "padding"]);
    const { maxLength = Number.POSITIVE_INFINITY, padding = false } = options;
    if (padding) checkPadding(maxLength);
    const ids = atOnce(this.encodeSteps(text, { ...options, allowEmpty: true }));
    const attentionMask = ids.map(() => 1);
    while (padding && ids.length < maxLength) {
      ids.push(this.padTokenId);
      attentionMask.push(0);
    }
    return { ids, attentionMask };
  }

  /**
   * @internal Yields a text's token ids, [CLS] and [SEP] included and without padding, in steps of less than a millisecond.
   * @param options.allowEmpty gives [CLS] and [SEP] alone for a text without words, instead of throwing `INVALID_INPUT`.
   * @throws NeuronBlipError as `encode`.
   */
  *encodeSteps(
    text: string,
    { maxLength = Number.POSITIVE_INFINITY, truncation = false, allowEmpty = false }: EncodeStepsOptions = {},
  ): Generator<void, number[]> {
    if (typeof text !== "string") {
      throw new NeuronBlipError("INVALID_INPUT", `A text must be a string, not a value of type ${typeof text}.`);
    }
    if (maxLength !== Number.POSITIVE_INFINITY && !(Number.isInteger(maxLength) && maxLength >= 2)) {
      throw new NeuronBlipError(
        "INVALID_INPUT",
        `maxLength must be a whole number of at least 2, not ${shown(maxLength)}.`,
      );
    }
    const ids = [this.clsTokenId];
    const steps = this.#reader?.read(text) ?? [this.#tokenizer.encode(text, { add_special_tokens: false }).ids];
    for (const found of steps) {
      for (const id of found) ids.push(id);
      const most = maxLength - 1; // without [SEP]
      if (ids.length >= most && truncation) {
        ids.length = most;
        break;
      }
      // Of a short text, how much too long it is can be told.
      if (ids.length > most && text.length > SHORT) throw tooLong(text, `more than ${maxLength}`, maxLength);
      if (text.length > SHORT) yield;
    }
    ids.push(this.sepTokenId);
    if (ids.length > maxLength) throw tooLong(text, `${ids.length}`, maxLength);
    if (ids.length === 2 && !allowEmpty) {
      throw new NeuronBlipError("INVALID_INPUT", `The question ${shown(text)} has no words. Ask something.`);
    }
    return ids;
  }

  /**
   * Returns the text of token ids. Ids that the vocabulary does not have (such as BLIP's 30522, [DEC]) are left out.
   * @throws NeuronBlipError `INVALID_INPUT` for ids that are not whole numbers >= 0
   */
  decode(ids: Iterable<number | bigint>, options: DecodeOptions = {}): string {
    const names = ["skipSpecialTokens", "cleanUpTokenizationSpaces"] as const;
    const { skipSpecialTokens = true, cleanUpTokenizationSpaces = this.#cleanUp } = readOptions(
      options,
      "decode",
      names,
    );
    const known: number[] = [];
    if (typeof ids?.[Symbol.iterator] !== "function") {
      throw new NeuronBlipError("INVALID_INPUT", `Give token ids as a list of numbers, not ${shown(ids)}.`);
    }
    for (const id of ids) {
      const number = typeof id === "bigint" ? Number(id) : id;
      if (!Number.isInteger(number) || number < 0) {
        throw new NeuronBlipError("INVALID_INPUT", `A token id is a whole number >= 0, not ${shown(id)}.`);
      }
      if (this.#tokenizer.id_to_token(number) !== undefined) known.push(number);
    }
    if (known.length === 0) return ""; // the library throws
    return this.#tokenizer.decode(known, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: cleanUpTokenizationSpaces,
    });
  }

  /**
   * Returns a special token's id.
   * @param configured the token's name in tokenizer_config.json: a string, an AddedToken's object, or nothing
   */
  #specialId(configured: unknown, name: string): number {
    const content = isObject(configured) ? configured.content : configured;
    const token = typeof content === "string" ? content : name;
    const id = this.#tokenizer.token_to_id(token);
    if (id === undefined) {
      throw new NeuronBlipError("ARTIFACT_MISMATCH", `The tokenizer has no token ${shown(token)}: it is not BERT's.`);
    }
    return id;
  }
}

/** Checks the length to pad to. @throws NeuronBlipError `INVALID_INPUT` for one that no text can be padded to. */
export function checkPadding(maxLength: number | undefined): void {
  if (maxLength !== undefined && Number.isInteger(maxLength) && maxLength <= LONGEST_PADDING) return;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `To pad to it, maxLength must be a whole number of at most ${LONGEST_PADDING}, since no model of this kind reads more, ` +
      `not ${shown(maxLength)}.`,
  );
}

function tooLong(text: string, count: string, maxLength: number): NeuronBlipError {
  return new NeuronBlipError(
    "INPUT_TOO_LONG",
    `The text ${shown(text)} has ${count} tokens, [CLS] and [SEP] included, and the limit is ${maxLength}. ` +
      "Shorten it, cut it with the option truncation: true, or, where it was compiled, compile the model for longer questions.",
  );
}

function vocabSizeOf({ model, added_tokens: addedTokens }: TokenizerJson): number {
  let largest = 0;
  for (const id of Object.values(model.vocab)) largest = Math.max(largest, id);
  for (const { id } of addedTokens) largest = Math.max(largest, id);
  return largest + 1;
}

/** Returns the texts of tokenizer_config.json's additional special tokens. */
function specialTokens({ additional_special_tokens: tokens }: JsonObject): string[] {
  const texts = Array.isArray(tokens) ? tokens.map((token) => (isObject(token) ? token.content : token)) : [];
  return texts.filter((text): text is string => typeof text === "string");
}
