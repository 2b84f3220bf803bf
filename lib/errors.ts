import { inspect } from "node:util";

/** What went wrong, for programs; see the README's table of errors for the cures. */
export type NeuronBlipErrorCode =
  /** The native addon is not built. */
  | "ADDON_NOT_BUILT"
  /** The addon is built, but libtorch is no longer where it was. */
  | "LIBTORCH_NOT_FOUND"
  /** A model directory or one of its files does not exist. */
  | "ARTIFACT_NOT_FOUND"
  /** A file cannot be read as what it should be. */
  | "ARTIFACT_CORRUPT"
  /** Files that do not belong together, or a file that is not the part that its name says. */
  | "ARTIFACT_MISMATCH"
  /** The artifact was compiled for AWS Neuron, and this host has no Neuron runtime. */
  | "NEURON_RUNTIME_NOT_FOUND"
  /** The Neuron runtime that was found does not fit the libtorch in use. */
  | "NEURON_RUNTIME_MISMATCH"
  /** Too few NeuronCores, or another process holds them. */
  | "NEURON_CORES_UNAVAILABLE"
  /** A NeuronCore or its runtime failed: `status` has the NRT status, where it was told. */
  | "NEURON_EXECUTION"
  /** The Neuron runtime, or every NeuronCore, is lost to this process: start another. */
  | "NEURON_RESTART_REQUIRED"
  /** An argument is of the wrong type, shape or length. */
  | "INVALID_INPUT"
  /** A picture cannot be read. */
  | "INVALID_IMAGE"
  /** A picture declares more pixels than the limit allows. */
  | "IMAGE_TOO_LARGE"
  /** A question is longer than the compiled length. */
  | "INPUT_TOO_LONG"
  /** A module failed while it ran. */
  | "EXECUTION_FAILED"
  /** The process, or a NeuronCore, ran out of memory. */
  | "OUT_OF_MEMORY"
  /** The object was disposed before. */
  | "DISPOSED"
  /** The call's `AbortSignal` was aborted. */
  | "ABORTED"
  /** As many calls as `maxQueueLength` allows are waiting already. */
  | "QUEUE_FULL"
  /** `neuron-blip compile` could not start Python. */
  | "COMPILE_FAILED";

/** The most characters of a message, whatever was given: it is for a line of a log. */
const LONGEST_MESSAGE = 1000;

/** The most characters of a value in a message. */
const LONGEST_VALUE = 100;

/** The one class of errors that this package throws: a `code` for programs, a message that says what was wrong and what to do. */
export class NeuronBlipError extends Error {
  override readonly name = "NeuronBlipError";
  readonly code: NeuronBlipErrorCode;
  /** Of errors of the Neuron runtime: its status, such as 1202. */
  readonly status?: number;

  constructor(code: NeuronBlipErrorCode, message: string, options?: { cause?: unknown; status?: number | undefined }) {
    super(shorten(message, LONGEST_MESSAGE), options);
    this.code = code;
    if (options?.status !== undefined) this.status = options.status;
  }
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : inLine(error);
}

/** A value as messages show it: in one line, cut to some 100 characters, however large it is; strings in quotes. */
export function inLine(value: unknown): string {
  // Only what is shown is quoted: a text may have megabytes.
  if (typeof value === "string") return JSON.stringify(shorten(value, LONGEST_VALUE));
  try {
    return shorten(inspect(value, BRIEF).replaceAll(/\s+/g, " "), LONGEST_VALUE);
  } catch {
    return `a value of type ${typeof value} that cannot be shown`; // its own functions throw
  }
}

const BRIEF = { depth: 1, maxArrayLength: 5, maxStringLength: 60, breakLength: Infinity, customInspect: false };

/** Cuts the middle out of a text: what it is about stands at its beginning, why and what to do at its end. */
function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  // Not between the two places of one character.
  return `${text.slice(0, most - 1 - end).replace(/[\ud800-\udbff]$/, "")}…${text.slice(-end).replace(/^[\udc00-\udfff]/, "")}`;
}

/**
 * @throws NeuronBlipError `INVALID_INPUT` for options that do not exist: a misspelt one would be ignored.
 * @param of whose options they are, for the message.
 */
export function checkOptions(options: object, known: readonly string[], of: string): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `There is no option ${inLine(unknown)} of ${of}. The options are ${known.join(", ")}.`,
  );
}

/**
 * @throws NeuronBlipError `ABORTED` where the signal was aborted, with the signal's reason as its cause; `INVALID_INPUT` where
 * it is no AbortSignal.
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new NeuronBlipError("INVALID_INPUT", `signal must be an AbortSignal, not ${inLine(signal)}.`);
  }
  if (signal?.aborted) throw abortedError(signal);
}

/** The error of a call whose signal was aborted, with the signal's reason as its cause. */
export function abortedError({ reason }: AbortSignal): NeuronBlipError {
  return new NeuronBlipError("ABORTED", "The call was aborted by its AbortSignal.", { cause: reason });
}
