import { NeuronBlipError } from "../errors.js";

/** How to generate, with Hugging Face's names and meanings. Fields left out take the model's `generation_config.json`. */
export interface GenerationConfig {
  /** The longest sequence, its first token included. `maxNewTokens` wins where both are given. */
  maxLength?: number;
  /** The most tokens to generate. Default 20, or as many as the compiled decoder has room for. */
  maxNewTokens?: number;
  /** The end-of-sequence token is not allowed before the sequence has this length, its first token included. Default 0. */
  minLength?: number;
}

/** A configuration with every question settled, for one run. */
export interface ResolvedGenerationConfig {
  maxLength: number;
  minLength: number;
  bosTokenId: number;
  eosTokenId: number;
}

/** What transformers generates by default since 4.47. */
const DEFAULT_MAX_NEW_TOKENS = 20;

/**
 * Settles a call's options against the model's defaults and the compiled length.
 * @param options the call's.
 * @param defaults the model's generation_config.json.
 * @param longest how long a sequence may get: the decoder reads at most its compiled length, and the last token generated
 * need not be read again, so the compiled length + 1.
 * @throws NeuronBlipError `INVALID_INPUT` for values that are not whole numbers, and for more tokens than were compiled for.
 */
export function resolveGenerationConfig(
  options: GenerationConfig,
  defaults: GenerationConfig,
  tokens: { bosTokenId: number; eosTokenId: number },
  longest: number,
): ResolvedGenerationConfig {
  checkCount("maxLength", options.maxLength, 1);
  checkCount("maxNewTokens", options.maxNewTokens, 1);
  checkCount("minLength", options.minLength, 0);

  const asked = lengthOf(options);
  if (asked !== undefined && asked > longest) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${asked - 1} new tokens were asked for, and this model was compiled for answers of at most ${longest - 1}. ` +
        `Ask for fewer, or compile again with --answer-length ${asked - 1} or more.`,
    );
  }
  const maxLength = asked ?? Math.min(lengthOf(defaults) ?? 1 + DEFAULT_MAX_NEW_TOKENS, longest);
  const minLength = options.minLength ?? defaults.minLength ?? 0;
  if (minLength > maxLength) {
    throw new NeuronBlipError("INVALID_INPUT", `minLength ${minLength} is above the longest answer, ${maxLength}.`);
  }
  return { maxLength, minLength, ...tokens };
}

/** The longest sequence that a configuration allows; the sequence begins with one token. */
function lengthOf({ maxLength, maxNewTokens }: GenerationConfig): number | undefined {
  return maxNewTokens === undefined ? maxLength : maxNewTokens + 1;
}

function checkCount(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
    throw new NeuronBlipError("INVALID_INPUT", `${name} must be a whole number >= ${least}, not ${value}.`);
  }
}
