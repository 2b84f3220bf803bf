/** What answers and captions have in common: both are generated, and rows of several calls may be so together. */
import { randomInt } from "node:crypto";
import { inspect } from "node:util";
import { deserialize, serialize } from "node:v8";
import type { GeneratedSequence } from "../generation/generated-sequence.js";
import type { GenerationConfig } from "../generation/generation-config.js";
import type { Job } from "../serving/batch-queue.js";
import { type AnyModel, holdPicture, type LoadedModel, type PreparedPair } from "./loaded-model.js";
import type { GeneratedText } from "./results.js";

const WHOLE = { depth: null, maxArrayLength: null, maxStringLength: null, customInspect: false, breakLength: Infinity };

/** A call's options of generation, settled when it comes. */
export interface BatchKey<Options> {
  /** As they were then: the caller may change his object while the call waits. */
  options: Options;
  /** Equal for calls whose rows may run in one batch; undefined where they must run by themselves. */
  key: string | undefined;
  /** Whether they have functions of the caller's. */
  callsBack: boolean;
}

/**
 * Rows run together where all their options are equal and none is a function. Draws do not depend on that: with `doSample` each
 * row draws by the seed and its place in its own call, and a call without a seed gets one here, of its own.
 * @param samples whether the model samples by default.
 */
export function batchKeyOf<Options extends GenerationConfig>(given: Options, samples: boolean): BatchKey<Options> {
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Options;
  if ((options.doSample ?? samples) && options.seed === undefined) options.seed = randomInt(2 ** 32);
  const { streamer, logitsProcessors = [], stoppingCriteria = [] } = options;
  // What is no list is for others to refuse.
  const mayCall = [logitsProcessors, stoppingCriteria].some((list) => !Array.isArray(list) || list.length > 0);
  const callsBack = streamer !== undefined || mayCall;
  if (callsBack) return { options, key: undefined, callsBack };
  try {
    const sorted = Object.entries(options).sort(([one], [other]) => (one < other ? -1 : 1));
    const copy = deserialize(serialize(sorted)) as typeof sorted;
    // Not the bytes: of one number there are two kinds, as V8 happens to keep it.
    return { options: Object.fromEntries(copy) as Options, key: inspect(copy, WHOLE), callsBack };
  } catch {
    // No data: whoever reads the options says what is wrong with them.
    return { options, key: undefined, callsBack };
  }
}

/**
 * Makes the job of pairs that a text is generated for.
 * @param generate gives each row's sequences, the best first. @param places of the rows in their calls' lists.
 * @param toResult makes a result of one sequence.
 */
export function generationJob<Options extends GenerationConfig, T extends GeneratedText & { alternatives?: T[] }>(
  { batch, countTokens }: LoadedModel,
  { options, key, callsBack }: BatchKey<Options>,
  pairs: readonly PreparedPair[],
  generate: (
    replica: AnyModel,
    rows: readonly PreparedPair[],
    options: Options & { signal: AbortSignal },
    places: readonly number[],
  ) => Promise<GeneratedSequence[][]>,
  toResult: (text: GeneratedText) => T,
): Job<AnyModel, PreparedPair, T> {
  // With "ones" the decoder sees the padding that the questions of one call have.
  const padded = "questionMask" in options && options.questionMask === "ones" ? pairs[0]?.text?.paddedLength : 0;
  return {
    ...batch,
    key: key && `${padded} ${key}`,
    callsBack,
    retry: options.streamer === undefined, // it has had tokens already
    hold: holdPicture,
    work: async (replica, rows, signal) => {
      const places = rows.map(({ place }) => place);
      const generated = await generate(replica, rows, { ...options, signal }, places);
      for (const { tokenLogProbabilities } of generated.flat()) countTokens(tokenLogProbabilities.length);
      return generated.map((sequences) => bestOf(sequences, toResult));
    },
  };
}

/** A row's first sequence, with the others as its alternatives. */
function bestOf<T extends GeneratedText & { alternatives?: T[] }>(
  sequences: readonly GeneratedSequence[],
  toResult: (text: GeneratedText) => T,
): T {
  const [best, ...others] = sequences.map((sequence) => {
    return toResult({ score: Math.exp(sequence.sumLogProbability), ...sequence });
  });
  return { ...(best as T), ...(others.length > 0 && { alternatives: others }) };
}
