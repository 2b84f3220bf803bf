/** Which calls' rows may be generated together. */
import { randomInt } from "node:crypto";
import { inspect } from "node:util";
import { deserialize, serialize } from "node:v8";
import type { GenerationConfig } from "../generation/generation-config.js";

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
  const callsBack = streamer !== undefined || isSome(logitsProcessors) || isSome(stoppingCriteria);
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

/** Whether a list of functions has any; what is no list is for others to refuse. */
function isSome(list: unknown): boolean {
  return !(Array.isArray(list) && list.length === 0);
}
