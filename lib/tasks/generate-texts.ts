/** What answers and captions have in common: both are generated, and rows of several calls may be so together. */
import { randomInt } from "node:crypto";
import { inspect } from "node:util";
import { deserialize, serialize } from "node:v8";
import type { GeneratedSequence } from "../generation/generated-sequence.js";
import type { GenerationConfig } from "../generation/generation-config.js";
import type { AnyModel, LoadedModel, PairJob, PreparedPair } from "./loaded-model.js";
import type { GeneratedText } from "./results.js";
import { holdPicture } from "./task.js";

/** Writes values out, equal ones alike. */
const WHOLE = {
  depth: null,
  maxArrayLength: null,
  maxStringLength: null,
  customInspect: false,
  breakLength: Number.POSITIVE_INFINITY,
  sorted: true,
};

/**
 * Makes the job of pairs that a text is generated for, with a call's options as they are when it comes.
 *
 * Rows run together where all their options are equal and none is a function. Draws do not depend on that: with `doSample` each
 * row draws by the seed and its place in its own call, and a call without a seed gets one here, of its own.
 * @param given options, of the call's own object.
 * @param generate gives each row's sequences, the best first. @param places of the rows in their calls' lists.
 * @param toResult makes a result of one sequence.
 */
export function generationJob<
  Model extends AnyModel,
  Options extends GenerationConfig,
  T extends GeneratedText & { alternatives?: T[] },
>(
  { batch, samples, generated }: LoadedModel<Model>,
  given: Options,
  generate: (
    replica: Model,
    rows: readonly PreparedPair[],
    options: Options & { signal: AbortSignal },
    places: readonly number[],
  ) => Promise<GeneratedSequence[][]>,
  toResult: (text: GeneratedText) => T,
): PairJob<Model, T> {
  let options = { ...given };
  if ((options.doSample ?? samples) && options.seed === undefined) options.seed = randomInt(2 ** 32);
  const { streamer, logitsProcessors = [], stoppingCriteria = [] } = options;
  // What is no list is for others to refuse.
  const callsBack = streamer !== undefined || [logitsProcessors, stoppingCriteria].flat().length > 0;
  let key: string | undefined;
  if (!callsBack) {
    try {
      options = deserialize(serialize(options)); // the caller may change his lists while the call waits
      const told = Object.entries(options).filter(([, value]) => value !== undefined);
      // Not the bytes: of one number there are two kinds, as V8 happens to keep it.
      key = inspect(Object.fromEntries(told), WHOLE);
    } catch {
      // No data: whoever reads the options says what is wrong with them.
    }
  }
  return {
    ...batch,
    key,
    callsBack,
    retry: streamer === undefined, // it has had tokens already
    hold: holdPicture,
    work: async (replica, rows, signal) => {
      const places = rows.map(({ place }) => place);
      const outputs = await generate(replica, rows, { ...options, signal }, places);
      for (const { tokenLogProbabilities } of outputs.flat()) generated.tokens += tokenLogProbabilities.length;
      return outputs.map((sequences) =>
        sequences
          .map((sequence) => toResult({ score: Math.exp(sequence.sumLogProbability), ...sequence }))
          .reduce((best, other) => Object.assign(best, { alternatives: [...(best.alternatives ?? []), other] })),
      );
    },
  };
}
