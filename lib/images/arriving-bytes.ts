/** Bytes of a picture that come piece by piece, and how long and how many they may be. */
import { clearTimeout, setTimeout } from "node:timers";
import { types } from "node:util";
import { abortedError, NeuronBlipError, throwIfAborted } from "../errors.js";
import { onAbort } from "../util/concurrency.js";
import { kindOf } from "./describe-source.js";
import { copyBytes } from "./picture-file.js";

export const DEFAULT_MAX_BYTES = 2 ** 25;
export const DEFAULT_TIME_LIMIT_MS = 30_000;

export interface ArrivalLimits {
  readonly maxBytes: number;
  readonly timeLimitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for a picture to come, until it takes too long or its call is aborted.
 * @param work gets a signal that is aborted then, and when it has ended: it releases what it reads from.
 * @throws NeuronBlipError `INVALID_IMAGE` where it is late, `ABORTED`; what `work` throws.
 */
export async function withinTime<T>(
  { timeLimitMs, signal }: ArrivalLimits,
  name: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ending = new AbortController();
  throwIfAborted(signal);
  const ended = new Promise<never>((_, reject) => onAbort(ending.signal, () => reject(ending.signal.reason)));
  ended.catch(() => {}); // it always rejects, after the work too
  const late = () => {
    const reason = `${name} did not come within ${timeLimitMs / 1000} s.`;
    ending.abort(new NeuronBlipError("INVALID_IMAGE", reason));
  };
  // It keeps the process alive: a stream that never ends may not.
  const timer = setTimeout(late, timeLimitMs);
  const stop = onAbort(signal, (signal) => ending.abort(abortedError(signal)));
  try {
    return await Promise.race([work(ending.signal), ended]);
  } finally {
    clearTimeout(timer);
    stop();
    ending.abort();
  }
}

/** The pieces that have come. */
export class ArrivingBytes {
  readonly #name: string;
  readonly #maxBytes: number;
  readonly #pieces: Uint8Array[] = [];
  #length = 0;

  /** Begins without pieces. @param name what errors call the picture */
  constructor(name: string, maxBytes: number) {
    this.#name = name;
    this.#maxBytes = maxBytes;
  }

  /** Adds a piece. @throws NeuronBlipError `IMAGE_TOO_LARGE`; `INVALID_INPUT` for a piece that is no bytes. */
  add(piece: unknown): void {
    let bytes: Uint8Array;
    if (types.isUint8Array(piece)) bytes = piece;
    else if (types.isAnyArrayBuffer(piece)) bytes = new Uint8Array(piece);
    else if (types.isDataView(piece)) bytes = copyBytes(piece);
    else {
      const reason = `${this.#name} must come as bytes; it gave ${kindOf(piece)}.`;
      throw new NeuronBlipError("INVALID_INPUT", reason);
    }
    this.#length += bytes.length;
    if (this.#length > this.#maxBytes) throw tooManyBytes(this.#name, this.#maxBytes);
    this.#pieces.push(bytes);
  }

  /** Joins all pieces, in memory of their own. */
  join(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}

export function tooManyBytes(name: string, maxBytes: number): NeuronBlipError {
  return new NeuronBlipError(
    "IMAGE_TOO_LARGE",
    `${name} has more than the limit of ${maxBytes} bytes. Give a smaller one, or raise the option maxBytes.`,
  );
}
