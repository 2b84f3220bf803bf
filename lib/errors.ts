import { types } from "node:util";
import { oneLine, shorten, shown } from "./util/values.js";

/** What went wrong, for programs; docs/errors.md has the cures. */
export type NeuronBlipErrorCode =
  /** neuron-blip was put into a bundle, where its addon and its threads are not. */
  | "BUNDLED"
  /** The native addon is not built, or does not load here. */
  | "ADDON_NOT_BUILT"
  /** The libtorch that the addon was built with is gone, may not be read, or is another. */
  | "LIBTORCH_NOT_FOUND"
  /** A model directory or one of its files does not exist. */
  | "ARTIFACT_NOT_FOUND"
  /** A file cannot be read as what it should be. */
  | "ARTIFACT_CORRUPT"
  /** Files that do not belong together, or a file that is not the part that its name says. */
  | "ARTIFACT_MISMATCH"
  /** The artifact was compiled for AWS Neuron, and this host has no Neuron runtime. */
  | "NEURON_RUNTIME_NOT_FOUND"
  /** The Neuron runtime does not fit the libtorch in use, or the artifact was compiled for another SDK or device family. */
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
  /** A picture declares more pixels, or has more bytes, than the limits allow. */
  | "IMAGE_TOO_LARGE"
  /** A text has more tokens than the model was compiled for. */
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
  | "COMPILE_FAILED"
  /** The Hugging Face Hub gives this model only to some: it is gated or private, or the token is not valid. */
  | "HUB_ACCESS_DENIED"
  /** The Hugging Face Hub, or the network, gave no answer, or ended one too early. */
  | "HUB_UNREACHABLE"
  /** The model is not in the cache, and the environment forbids asking the Hugging Face Hub for it. */
  | "HUB_OFFLINE"
  /** The disk of the Hugging Face cache is full. */
  | "DISK_FULL"
  /** The Hugging Face cache cannot be written. */
  | "CACHE_NOT_WRITABLE";

/** The most characters of a message, whatever was given: it is for a line of a log. */
const LONGEST_MESSAGE = 1000;

/** The same in every copy of this package, and in every context of the process. */
const BRAND = Symbol.for("neuron-blip.NeuronBlipError");

/** The one class of errors that this package throws: a `code` for programs, a message that says what was wrong and what to do. */
export class NeuronBlipError extends Error {
  /** Takes an error of another copy of this package for one of this, so that test runners, which load it anew, can compare. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a subclass has instances of its own
    if (this !== NeuronBlipError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return typeof value === "object" && value !== null && BRAND in value;
  }

  static {
    // Not of each error: there may be 100,000 of them.
    Object.defineProperty(NeuronBlipError.prototype, BRAND, { value: true });
  }

  override readonly name = "NeuronBlipError";
  readonly code: NeuronBlipErrorCode;
  /** Of errors of the Neuron runtime: its status, such as 1202. */
  declare readonly status?: number;

  constructor(code: NeuronBlipErrorCode, message: string, options?: { cause?: unknown; status?: number | undefined }) {
    // What is not there is not printed either.
    super(shorten(message, LONGEST_MESSAGE), options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    if (options?.status !== undefined) this.status = options.status;
  }
}

/** Errors of the file system without their paths, by their messages: frozen, since all lists share them. */
const fileErrors = new Map<string, Error>();

/**
 * Lets go of most of an error's memory, for there may be 100,000 of them, and the garbage collector holds the event loop while it
 * looks at them: of its stack's frames, all within this package, and, where its cause is the file system's, of that one's path,
 * which the error's own message has (cut where it is long).
 * @returns the error.
 */
export function forList(error: unknown): unknown {
  if (!(error instanceof NeuronBlipError)) return error;
  error.stack = `${error.name}: ${error.message}`;
  const { cause } = error;
  const code = codeOf(cause);
  // As libuv words it: "ENOENT: no such file or directory, stat 'none.png'".
  const [, message] = /^(E[A-Z0-9]+: [^,]+), [a-z]+ '/.exec(messageOf(cause)) ?? [];
  if (code === undefined || !message?.startsWith(`${code}: `)) return error;
  let shared = fileErrors.get(message);
  if (shared === undefined) {
    shared = Object.assign(new Error(message), { code });
    shared.stack = `Error: ${message}`;
    fileErrors.set(message, Object.freeze(shared));
  }
  error.cause = shared;
  return error;
}

/** Returns the text of a thrown value. Not by `instanceof`: in a test runner's context, Node's own errors are of another Error. */
export function messageOf(error: unknown): string {
  const message = typeof error === "object" && error !== null && "message" in error ? error.message : undefined;
  return typeof message === "string" ? message : shown(error);
}

/** Returns a thrown value as an error. */
export function asError(thrown: unknown): Error {
  return types.isNativeError(thrown) ? thrown : new Error(messageOf(thrown), { cause: thrown });
}

/** Returns the `code` of a thrown value, such as "ENOENT"; undefined where it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/**
 * Reads a call's options, each once: a getter of the caller's may throw, or give something else the next time.
 * @param of whose options they are, for messages.
 * @param known the options that there are, where the caller of this does not look at their names itself.
 * @returns a copy, with those of `known` that a class's instance inherits.
 * @throws NeuronBlipError `INVALID_INPUT` for what is no object or cannot be read, and for options that do not exist: a misspelt
 * one would be ignored.
 */
export function readOptions<Options extends object>(
  options: Options,
  of: string,
  known: readonly (keyof Options & string)[] = [],
): Options {
  if (typeof options !== "object" || options === null) {
    throw new NeuronBlipError("INVALID_INPUT", `The options of ${of} are an object, not ${shown(options)}.`);
  }
  let copy: Options;
  try {
    copy = { ...options };
    for (const name of known) if (!(name in copy) && name in options) copy[name] = options[name];
  } catch (error) {
    const reason = oneLine(messageOf(error), 300);
    throw new NeuronBlipError("INVALID_INPUT", `The options of ${of} cannot be read: ${reason}.`, { cause: error });
  }
  const names: readonly string[] = known;
  const unknown = names.length > 0 ? Object.keys(copy).find((name) => !names.includes(name)) : undefined;
  if (unknown === undefined) return copy;
  throw new NeuronBlipError(
    "INVALID_INPUT",
    `There is no option ${shown(unknown)} of ${of}. The options are ${names.join(", ")}.`,
  );
}

/**
 * Throws where a signal was aborted.
 * @throws NeuronBlipError `ABORTED` where the signal was aborted, with the signal's reason as its cause; `INVALID_INPUT` where
 * it is no AbortSignal.
 */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  // Node's, another window's, or a polyfill's, which may lack `reason` and `throwIfAborted`.
  const { aborted, addEventListener, removeEventListener }: Partial<AbortSignal> = Object(signal);
  if (
    typeof aborted !== "boolean" ||
    typeof addEventListener !== "function" ||
    typeof removeEventListener !== "function"
  ) {
    throw new NeuronBlipError("INVALID_INPUT", `signal must be an AbortSignal, not ${shown(signal)}.`);
  }
  if (aborted) throw abortedError(signal);
}

/** Makes the error of a call whose signal was aborted, with the signal's reason as its cause. */
export function abortedError(signal: AbortSignal): NeuronBlipError {
  return new NeuronBlipError("ABORTED", "The call was aborted by its AbortSignal.", { cause: signal.reason });
}
