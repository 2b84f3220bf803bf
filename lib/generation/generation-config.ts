import { randomInt } from "node:crypto";
import { NeuronBlipError } from "../errors.js";
import { isWhole, shown } from "../util/values.js";
import type { Streamer } from "./text-streamer.js";

/**
 * Changes the scores of the next token in place.
 * @param sequence the tokens so far, prompt included.
 * @param scores one score per token of the vocabulary: logits, or, in beam search, their log-softmax.
 */
export type LogitsProcessor = (sequence: readonly number[], scores: Float32Array) => void;

/**
 * Says whether a sequence ends here, as transformers' StoppingCriteria.
 * @param sequence the tokens so far, prompt and newest token included.
 */
export type StoppingCriterion = (sequence: readonly number[]) => boolean;

/**
 * How to generate, with Hugging Face's names, meanings and defaults. Fields left out take the model's
 * `generation_config.json`. An option that the chosen way of decoding does not use has no effect, as in transformers.
 */
export interface GenerationConfig {
  /** The longest sequence, prompt included. `maxNewTokens` wins where both are given. */
  maxLength?: number;
  /** The most tokens to generate. Default 20, or as many as the compiled decoder has room for. */
  maxNewTokens?: number;
  /**
   * The end-of-sequence token is not allowed before the sequence has this length, prompt included; where the longest sequence
   * is shorter, never. `minNewTokens` wins where both are given. Default 0.
   */
  minLength?: number;
  /** The end-of-sequence token is not allowed before this many tokens were generated. Default 0. */
  minNewTokens?: number;

  /** Beams of beam search, up to 256; 1 (the default) is greedy search. Not together with `doSample`. */
  numBeams?: number;
  /** Beam search divides a sequence's log-probability by its generated length to this power. Default 1. */
  lengthPenalty?: number;
  /**
   * When beam search ends: true, as soon as there are `numBeams` finished sequences; false (the default), when the best
   * running one is unlikely to beat them; "never", only when it cannot.
   */
  earlyStopping?: boolean | "never";
  /** How many sequences to return for each row: at most `numBeams`, or, with `doSample`, up to 256. Default 1. */
  numReturnSequences?: number;

  /** Draw tokens by their probabilities instead of taking the most likely. Default false. */
  doSample?: boolean;
  /** Divides the logits before drawing: below 1 sharpens, above 1 flattens. Default 1. */
  temperature?: number;
  /** Draw among this many most likely tokens; 0 for all. Default 50, as in transformers. */
  topK?: number;
  /** Draw among the most likely tokens that together reach this probability. Default 1. */
  topP?: number;
  /** Draw among tokens at least this probable, relative to the most likely one. Default 0. */
  minP?: number;
  /** Draw among the most typical tokens (arXiv 2202.00666) that together reach this probability. Default 1. */
  typicalP?: number;
  /** Makes draws repeatable: a whole number from 0 to 4294967295. Each row and returned sequence draws from a stream of its own. Default: random. */
  seed?: number;

  /** Divides the scores of tokens that were already used, prompt included (multiplies negative ones). Default 1. */
  repetitionPenalty?: number;
  /** No sequence of this many tokens is used twice. Default 0, off. */
  noRepeatNgramSize?: number;
  /** Token sequences that must not be generated. */
  badWordsIds?: readonly (readonly number[])[];
  /** Token sequences with what is added to the score of their last token after the ones before. */
  sequenceBias?: readonly (readonly [tokenIds: readonly number[], bias: number])[];
  /** The token to generate first. */
  forcedBosTokenId?: number;
  /** The token, or tokens, to end with where the maximum length is reached. */
  forcedEosTokenId?: number | readonly number[];
  /** Tokens that must not be generated. */
  suppressTokens?: readonly number[];
  /** Tokens that must not be generated first. */
  beginSuppressTokens?: readonly number[];
  /** Processors of your own, applied after those above and before what `doSample` uses. */
  logitsProcessors?: readonly LogitsProcessor[];
  /** Criteria of your own, besides the end-of-sequence token and the length: a sequence ends where one says so. */
  stoppingCriteria?: readonly StoppingCriterion[];

  /** Keep the processed scores of every step: `GeneratedSequence.scores`. Default false. */
  outputScores?: boolean;
  /** Told each token as it is generated; for one row, without beams. */
  streamer?: Streamer;
}

/** What a model says of its tokens. */
export interface TokenSettings {
  eosTokenId: number;
  vocabSize: number;
}

/** A configuration with every option set, for one row. */
export interface ResolvedGenerationConfig
  extends Required<
      Omit<GenerationConfig, "maxNewTokens" | "minNewTokens" | "forcedBosTokenId" | "forcedEosTokenId" | "streamer">
    >,
    TokenSettings {
  promptLength: number;
  forcedBosTokenId: number | undefined;
  forcedEosTokenIds: readonly number[];
}

/** What transformers generates by default since 4.47. */
const DEFAULT_MAX_NEW_TOKENS = 20;

/** transformers' defaults for what neither the call nor the model sets. */
const DEFAULTS = {
  numBeams: 1,
  lengthPenalty: 1,
  earlyStopping: false,
  numReturnSequences: 1,
  doSample: false,
  temperature: 1,
  topK: 50,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  noRepeatNgramSize: 0,
  badWordsIds: [],
  sequenceBias: [],
  suppressTokens: [],
  beginSuppressTokens: [],
  logitsProcessors: [],
  stoppingCriteria: [],
  outputScores: false,
} as const satisfies GenerationConfig;

/** The most sequences that one row is generated in side by side: with 30,524 scores of 4 bytes each they take 31 MB. */
const MOST_BEAMS = 256;
/** The most samples of one row: as many as a batch has rows at most. */
const MOST_SEQUENCES = 1024;

/** What an option must be, in words, and whether a value is. */
type Check = readonly [must: string, is: (value: unknown) => boolean];

const CHECKS_BY_NAME: Readonly<Record<keyof GenerationConfig, Check>> = {
  maxLength: wholeNumber(2),
  maxNewTokens: wholeNumber(1),
  minLength: wholeNumber(0),
  minNewTokens: wholeNumber(0),
  numBeams: atMost(MOST_BEAMS, "each keeps scores of the whole vocabulary"),
  lengthPenalty: ["a number", Number.isFinite],
  earlyStopping: ['true, false or "never"', (value) => typeof value === "boolean" || value === "never"],
  numReturnSequences: atMost(MOST_SEQUENCES, "each keeps scores of the whole vocabulary"),
  doSample: ["true or false", isBoolean],
  temperature: ["a number above 0", (value) => isNumber(value) && value > 0],
  topK: wholeNumber(0),
  topP: ["a number above 0, at most 1", (value) => isNumber(value) && value > 0 && value <= 1],
  minP: ["a number from 0 to 1", (value) => isNumber(value) && value >= 0 && value <= 1],
  typicalP: ["a number above 0, at most 1", (value) => isNumber(value) && value > 0 && value <= 1],
  seed: ["a whole number from 0 to 4294967295", (value) => isWhole(value, 0, 2 ** 32 - 1)],
  repetitionPenalty: ["a number above 0", (value) => isNumber(value) && value > 0],
  noRepeatNgramSize: wholeNumber(0),
  badWordsIds: ["a list of lists of token ids", isListOf(isTokenSequence)],
  sequenceBias: ["a list of [token ids, bias]", isListOf(isBias)],
  forcedBosTokenId: ["a token id", isTokenId],
  forcedEosTokenId: ["a token id or a list of them", (value) => isTokenId(value) || isTokenSequence(value)],
  suppressTokens: ["a list of token ids", isListOf(isTokenId)],
  beginSuppressTokens: ["a list of token ids", isListOf(isTokenId)],
  logitsProcessors: ["a list of functions", isListOf(isFunction)],
  stoppingCriteria: ["a list of functions", isListOf(isFunction)],
  outputScores: ["true or false", isBoolean],
  streamer: ["an object with put and end", isStreamer],
};
const CHECKS: ReadonlyMap<string, Check> = new Map(Object.entries(CHECKS_BY_NAME));

/**
 * Checks options by themselves.
 * @param vocabSize how many tokens the model has.
 * @returns those that are given.
 * @throws NeuronBlipError `INVALID_INPUT` for options that do not exist, for values that are not what they must be, and for tokens that
 * the vocabulary does not have.
 */
export function checkGenerationConfig(options: GenerationConfig, vocabSize: number): GenerationConfig {
  const given = Object.entries(options).filter(([name, value]) => {
    const check = CHECKS.get(name);
    if (check === undefined) {
      throw invalid(`There is no generation option ${shown(name)}. The options are ${[...CHECKS.keys()].join(", ")}.`);
    }
    const [must, is] = check;
    if (value !== undefined && !is(value)) throw invalid(`${name} must be ${must}, not ${shown(value)}.`);
    return value !== undefined;
  });
  const config: GenerationConfig = Object.fromEntries(given);
  const { badWordsIds = [], sequenceBias = [], suppressTokens = [], beginSuppressTokens = [] } = config;
  const used = [
    ...badWordsIds.flat(),
    ...sequenceBias.flatMap(([tokenIds]) => tokenIds),
    ...suppressTokens,
    ...beginSuppressTokens,
    ...[config.forcedEosTokenId ?? []].flat(),
    ...[config.forcedBosTokenId ?? []].flat(),
  ];
  const unknown = used.find((token) => token >= vocabSize);
  if (unknown === undefined) return config;
  throw invalid(`Token ${unknown} does not exist: this model's vocabulary has ${vocabSize} tokens.`);
}

/**
 * Settles a call's options against the model's defaults and the compiled length, for a row whose prompt has a given length.
 * @param options the call's.
 * @param defaults the model's generation_config.json, checked when it was loaded.
 * @param longest how long a sequence may get: the decoder reads at most its compiled length, and the last token generated
 * need not be read again, so the compiled length + 1.
 * @throws NeuronBlipError `INVALID_INPUT` for values that are not what they must be or contradict each other, and for more
 * tokens than were compiled for.
 */
export function resolveGenerationConfig(
  options: GenerationConfig,
  defaults: GenerationConfig,
  tokens: TokenSettings,
  promptLength: number,
  longest: number,
): ResolvedGenerationConfig {
  const asked = checkGenerationConfig(options, tokens.vocabSize);
  const { maxLength, minLength } = settleLengths(asked, defaults, promptLength, longest);
  const {
    streamer,
    maxNewTokens,
    maxLength: _maxLength,
    minNewTokens,
    minLength: _minLength,
    forcedBosTokenId,
    forcedEosTokenId,
    ...given
  } = { ...defaults, ...asked };
  const settled = { ...DEFAULTS, ...given };
  if (settled.doSample && settled.numBeams > 1) {
    throw invalid(`Beam search does not sample: give doSample or numBeams (${settled.numBeams}), not both.`);
  }
  if (!settled.doSample && settled.numReturnSequences > settled.numBeams) {
    throw invalid(
      `numReturnSequences ${settled.numReturnSequences} is above numBeams ${settled.numBeams}: ask for as many beams, or sample.`,
    );
  }
  if (streamer && (settled.numBeams > 1 || settled.numReturnSequences > 1)) {
    throw invalid("A streamer takes one sequence as it grows: give numBeams 1 and numReturnSequences 1.");
  }
  const forcedEosTokenIds = [forcedEosTokenId ?? []].flat();
  const seed = settled.seed ?? randomInt(2 ** 32);
  return { ...settled, ...tokens, seed, maxLength, minLength, promptLength, forcedBosTokenId, forcedEosTokenIds };
}

/** Says whether a sequence ends: by the end-of-sequence token, by its length, or by a criterion of the user's. */
export function hasEnded(
  sequence: readonly number[],
  config: Pick<ResolvedGenerationConfig, "eosTokenId" | "maxLength" | "stoppingCriteria">,
): boolean {
  return (
    sequence.at(-1) === config.eosTokenId ||
    sequence.length >= config.maxLength ||
    config.stoppingCriteria.some((ends) => ends(sequence))
  );
}

/**
 * Settles how long sequences may and must get, prompt included: of the two ways to say it, that of new tokens wins, as in
 * transformers.
 */
function settleLengths(
  options: GenerationConfig,
  defaults: GenerationConfig,
  promptLength: number,
  longest: number,
): { maxLength: number; minLength: number } {
  const asked = options.maxNewTokens === undefined ? options.maxLength : promptLength + options.maxNewTokens;
  const usual = defaults.maxNewTokens === undefined ? defaults.maxLength : promptLength + defaults.maxNewTokens;
  const least = options.minNewTokens === undefined ? options.minLength : promptLength + options.minNewTokens;
  const usualLeast = defaults.minNewTokens === undefined ? defaults.minLength : promptLength + defaults.minNewTokens;
  if (asked !== undefined && asked > longest) {
    throw invalid(
      `${asked - promptLength} new tokens were asked for, and this model was compiled for ${longest - promptLength} at most` +
        `${promptLength > 1 ? ` after ${promptLength} of a prompt` : ""}. Ask for fewer, or compile again with --answer-length ` +
        `${asked - 1} or more.`,
    );
  }
  const maxLength = asked ?? Math.min(usual ?? promptLength + DEFAULT_MAX_NEW_TOKENS, longest);
  if (maxLength <= promptLength) {
    throw invalid(
      asked === undefined
        ? `The prompt has ${promptLength} tokens, and this model was compiled for ${longest - 1}. Shorten it, or compile again ` +
            "with a larger --answer-length."
        : `maxLength ${asked} leaves no room for an answer: the sequence begins with ${promptLength} tokens.`,
    );
  }
  return { maxLength, minLength: least ?? usualLeast ?? 0 };
}

function wholeNumber(least: number): readonly [string, (value: unknown) => boolean] {
  return [`a whole number >= ${least}`, (value) => isWhole(value, least)];
}

function atMost(most: number, reason: string): readonly [string, (value: unknown) => boolean] {
  return [`a whole number >= 1 and <= ${most}, since ${reason}`, (value) => isWhole(value, 1, most)];
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function isBoolean(value: unknown): boolean {
  return typeof value === "boolean";
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function isTokenId(value: unknown): boolean {
  return isWhole(value, 0);
}

function isListOf(is: (value: unknown) => boolean): (value: unknown) => boolean {
  return (value) => Array.isArray(value) && value.every(is);
}

function isTokenSequence(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isTokenId);
}

function isBias(value: unknown): boolean {
  return Array.isArray(value) && value.length === 2 && isTokenSequence(value[0]) && isBiasValue(value[1]);
}

/** Says whether a value is a bias. Minus infinity forbids a token. */
function isBiasValue(value: unknown): boolean {
  return typeof value === "number" && value < Number.POSITIVE_INFINITY;
}

function isStreamer(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("put" in value) || !("end" in value)) return false;
  return isFunction(value.put) && isFunction(value.end);
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
