import { messageOf, NeuronBlipError } from "../errors.js";
import { checkGenerationConfig, type GenerationConfig } from "../generation/generation-config.js";
import { readJsonIfThere } from "../util/json-file.js";
import { shown } from "../util/values.js";

/** The settings of generation_config.json that are read, by the name of the option that each is. */
const NAMES = {
  max_length: "maxLength",
  max_new_tokens: "maxNewTokens",
  min_length: "minLength",
  min_new_tokens: "minNewTokens",
  num_beams: "numBeams",
  length_penalty: "lengthPenalty",
  early_stopping: "earlyStopping",
  num_return_sequences: "numReturnSequences",
  do_sample: "doSample",
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  typical_p: "typicalP",
  repetition_penalty: "repetitionPenalty",
  no_repeat_ngram_size: "noRepeatNgramSize",
  bad_words_ids: "badWordsIds",
  sequence_bias: "sequenceBias",
  forced_bos_token_id: "forcedBosTokenId",
  forced_eos_token_id: "forcedEosTokenId",
  suppress_tokens: "suppressTokens",
  begin_suppress_tokens: "beginSuppressTokens",
} as const satisfies Record<string, keyof GenerationConfig>;

/** Settings that would make transformers generate otherwise than this package can, with the values that leave them off. */
const NOT_SUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  num_beam_groups: [1],
  diversity_penalty: [0],
  penalty_alpha: [0],
  dola_layers: [],
  constraints: [],
  force_words_ids: [],
  guidance_scale: [1],
  encoder_repetition_penalty: [1],
  encoder_no_repeat_ngram_size: [0],
  exponential_decay_length_penalty: [],
  renormalize_logits: [false],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  top_h: [],
  watermarking_config: [],
  prompt_lookup_num_tokens: [],
  stop_strings: [],
  max_time: [],
};

/** transformers' default of max_length, which stands for 20 new tokens, not for a sequence of 20. */
const UNSET_MAX_LENGTH = 20;

/**
 * Reads the model's own defaults, from its generation_config.json, if it has one.
 * @param vocabSize how many tokens there are for its token ids.
 * @throws NeuronBlipError `ARTIFACT_CORRUPT`; `ARTIFACT_MISMATCH` for settings that this version does not support.
 */
export async function readGenerationDefaults(path: string, vocabSize: number): Promise<GenerationConfig> {
  const json = (await readJsonIfThere(path)) ?? {};
  for (const [name, off] of Object.entries(NOT_SUPPORTED)) {
    const value = json[name] ?? undefined;
    if (value !== undefined && !off.includes(value)) {
      throw mismatch(path, `sets ${name} to ${shown(value)}, which this version does not support`);
    }
  }
  const set = Object.entries(NAMES).flatMap(([theirs, ours]) => {
    const value = json[theirs] ?? undefined;
    const isSet = value !== undefined && !(theirs === "max_length" && value === UNSET_MAX_LENGTH);
    return isSet ? [[ours, value] as const] : [];
  });
  const defaults: GenerationConfig = Object.fromEntries(set);
  try {
    checkGenerationConfig(defaults, vocabSize);
  } catch (error) {
    throw mismatch(path, `cannot be used: ${messageOf(error)}`);
  }
  if (defaults.doSample && (defaults.numBeams ?? 1) > 1) {
    throw mismatch(path, "sets do_sample together with num_beams, which this version does not support");
  }
  const { doSample = false, numBeams = 1, numReturnSequences = 1 } = defaults;
  if (!doSample && numReturnSequences > numBeams) {
    throw mismatch(
      path,
      `sets num_return_sequences ${numReturnSequences} above num_beams ${numBeams}, which cannot be`,
    );
  }
  return defaults;
}

function mismatch(path: string, what: string): NeuronBlipError {
  return new NeuronBlipError(
    "ARTIFACT_MISMATCH",
    `"${path}" ${what}: it would generate otherwise than transformers does. Remove the setting from the file.`,
  );
}
