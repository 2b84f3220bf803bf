import { NeuronBlipError } from "../errors.js";
import type { BlipProcessor, ProcessTextOptions } from "../processing/blip-processor.js";
import { shown } from "../util/values.js";

export interface CallOptions {
  /** What the call is called in the messages of its work: see `DiagnosticsMessages`. Default: an id of the library's own. */
  callId?: string;
}

export interface TextOptions extends CallOptions {
  /** Cut a text that is longer than the compiled length, instead of throwing `INPUT_TOO_LONG`. Default false. */
  truncation?: boolean;
}

export interface SettledOption {
  /**
   * For lists: give every item's own result or error, as Promise.allSettled does, instead of throwing where one fails. The errors'
   * stacks have no frames, and where the file system refused, `cause` has its `code` and reason, without the path.
   * Default false.
   */
  settled?: boolean;
}

/** Encodes a text, in steps of less than a millisecond. @throws NeuronBlipError where it cannot be. */
export type Encode = (text: string) => Generator<void, number[]>;

/** Encodes a text. @param tooLong makes the error of one that is too long, as its user knows the limit. */
export function* encodeWithin(
  processor: BlipProcessor,
  text: string,
  options: ProcessTextOptions,
  tooLong: (shown: string) => NeuronBlipError,
): Generator<void, number[]> {
  try {
    return yield* processor.tokenizer.encodeSteps(text, options);
  } catch (error) {
    throw error instanceof NeuronBlipError && error.code === "INPUT_TOO_LONG" ? tooLong(shown(text)) : error;
  }
}
