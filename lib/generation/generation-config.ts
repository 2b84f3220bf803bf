import { NeuronBlipError } from "../errors.js";
import { readJsonIfThere } from "../json-file.js";

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
  const { maxLength: givenMaxLength, maxNewTokens, minLength: givenMinLength, ...unknown } = options;
  const [name] = Object.keys(unknown);
  if (name !== undefined) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `There is no generation option "${name}". The options are maxLength, maxNewTokens and minLength.`,
    );
  }
  checkCount("maxLength", givenMaxLength, 2);
  checkCount("maxNewTokens", maxNewTokens, 1);
  checkCount("minLength", givenMinLength, 0);

  const asked = lengthOf(options);
  if (asked !== undefined && asked > longest) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `${asked - 1} new tokens were asked for, and this model was compiled for answers of at most ${longest - 1}. ` +
        `Ask for fewer, or compile again with --answer-length ${asked - 1} or more.`,
    );
  }
  const maxLength = asked ?? Math.min(lengthOf(defaults) ?? 1 + DEFAULT_MAX_NEW_TOKENS, longest);
  if (givenMinLength !== undefined && givenMinLength > maxLength) {
    throw new NeuronBlipError(
      "INVALID_INPUT",
      `minLength ${givenMinLength} is above the longest answer, ${maxLength}.`,
    );
  }
  return { maxLength, minLength: givenMinLength ?? defaults.minLength ?? 0, ...tokens };
}

/** Settings of generation_config.json that would make transformers answer otherwise than greedily, with what leaves them off. */
const NOT_SUPPORTED: Readonly<Record<string, unknown>> = {
  num_beams: 1,
  do_sample: false,
  repetition_penalty: 1,
  no_repeat_ngram_size: 0,
  bad_words_ids: null,
  sequence_bias: null,
  min_new_tokens: null,
  forced_bos_token_id: null,
  forced_eos_token_id: null,
  suppress_tokens: null,
  begin_suppress_tokens: null,
};

/**
 * The model's own defaults, from its generation_config.json, if it has one.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for settings that this version does not support.
 */
export async function readGenerationDefaults(path: string): Promise<GenerationConfig> {
  const json = (await readJsonIfThere(path)) ?? {};
  for (const [name, off] of Object.entries(NOT_SUPPORTED)) {
    const value = json[name] ?? off;
    if (value !== off) {
      throw new NeuronBlipError(
        "ARTIFACT_MISMATCH",
        `"${path}" sets ${name} to ${JSON.stringify(value)}, which this version does not support: it would answer otherwise ` +
          "than transformers does. Remove it from the file.",
      );
    }
  }
  const count = (name: string) => (Number.isSafeInteger(json[name]) ? (json[name] as number) : undefined);
  const maxNewTokens = count("max_new_tokens");
  const maxLength = count("max_length");
  const minLength = count("min_length");
  return {
    ...(maxNewTokens !== undefined && { maxNewTokens }),
    // 20 is transformers' default and stands for 20 new tokens, not for a sequence of 20.
    ...(maxLength !== undefined && maxLength !== DEFAULT_MAX_NEW_TOKENS && { maxLength }),
    ...(minLength !== undefined && { minLength }),
  };
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
