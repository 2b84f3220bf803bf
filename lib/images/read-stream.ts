/** Pictures that come as streams and Responses. */
import { Readable } from "node:stream";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { NodeStreamLike, ResponseLike, WebStreamLike } from "../processing/image-source.js";
import { onAbort } from "../util/concurrency.js";
import { oneLine } from "../util/values.js";
import { type ArrivalLimits, ArrivingBytes, tooManyBytes, withinTime } from "./arriving-bytes.js";
import { kindOf } from "./describe-source.js";

type Bytes = Uint8Array<ArrayBuffer>;

export function isWebStream(value: object): value is WebStreamLike {
  return "getReader" in value && typeof value.getReader === "function";
}

export function isNodeStream(value: object): value is NodeStreamLike {
  return "pipe" in value && typeof value.pipe === "function" && "on" in value && typeof value.on === "function";
}

export function isResponse(value: object): value is ResponseLike {
  return "bodyUsed" in value && "body" in value;
}

/**
 * Reads a stream to its end.
 * @throws NeuronBlipError `INVALID_INPUT` for one that is locked or was read before; `IMAGE_TOO_LARGE`, `INVALID_IMAGE` where it
 * breaks off or is late, `ABORTED`: it is cancelled or destroyed then.
 */
export function readStream(
  stream: WebStreamLike | NodeStreamLike,
  name: string,
  limits: ArrivalLimits,
): Promise<Bytes> {
  return withinTime(limits, name, (signal) => readAny(stream, name, limits.maxBytes, signal));
}

/**
 * Reads the body of a Response.
 * @throws NeuronBlipError as readStream; `INVALID_IMAGE` for a status that is not a success.
 */
export function readResponse(response: ResponseLike, name: string, limits: ArrivalLimits): Promise<Bytes> {
  return withinTime(limits, name, (signal) => readBody(response, name, limits.maxBytes, signal));
}

export async function readBody(
  response: ResponseLike,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Bytes> {
  const { body, bodyUsed, ok, status } = response;
  if (bodyUsed)
    throw new NeuronBlipError("INVALID_INPUT", `${name} was read before. Give a Response once, or a clone of it.`);
  const length = Number(response.headers?.get?.("content-length") ?? 0);
  if (ok === false || length > maxBytes || signal.aborted) {
    if (body) release(body);
    if (signal.aborted) throw signal.reason;
    if (ok === false)
      throw new NeuronBlipError("INVALID_IMAGE", `${name} was not sent: the server's status is ${status}.`);
    throw tooManyBytes(name, maxBytes);
  }
  return body ? readAny(body, name, maxBytes, signal) : new Uint8Array();
}

function readAny(stream: object, name: string, maxBytes: number, signal: AbortSignal): Promise<Bytes> {
  if (isWebStream(stream)) return readWebStream(stream, name, maxBytes, signal);
  if (isNodeStream(stream)) return readNodeStream(stream, name, maxBytes, signal);
  throw new NeuronBlipError("INVALID_INPUT", `${name} has a body that is no stream, but ${kindOf(stream)}.`);
}

/** Releases a body that is not read, and its connection. */
function release(body: WebStreamLike | NodeStreamLike): void {
  try {
    if (isWebStream(body))
      void body
        .getReader()
        .cancel()
        .catch(() => {});
    else destroy(body);
  } catch {
    // It is somebody else's already.
  }
}

async function readWebStream(
  stream: WebStreamLike,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Bytes> {
  if (stream.locked) throw usedStream(name, "is locked: something else reads it");
  if (wasRead(stream)) throw usedStream(name, "was read before");
  const reader = stream.getReader();
  const stop = onAbort(signal, () => cancel(reader, signal.reason));
  try {
    const bytes = new ArrivingBytes(name, maxBytes);
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw signal.reason;
      if (done) return bytes.join();
      bytes.add(value);
    }
  } catch (error) {
    cancel(reader, error);
    throw brokenOff(name, error);
  } finally {
    stop();
    try {
      reader.releaseLock();
    } catch {
      // A polyfill's, with a read that does not end.
    }
  }
}

function cancel(reader: ReturnType<WebStreamLike["getReader"]>, reason: unknown): void {
  try {
    reader.cancel(reason).catch(() => {});
  } catch {
    // Released already.
  }
}

/** Node's streams and those of older kinds have these in common. */
interface NodeStreamState {
  readonly destroyed?: boolean;
  readonly errored?: unknown;
  readonly readable?: boolean;
  readonly readableEnded?: boolean;
  readonly resume?: () => void;
  readonly destroy?: (error?: unknown) => void;
}

function readNodeStream(
  stream: NodeStreamLike & NodeStreamState,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Bytes> {
  if (stream.errored) throw brokenOff(name, stream.errored);
  if (stream.readableEnded || stream.destroyed || stream.readable === false) {
    throw usedStream(name, "has ended or was destroyed before");
  }
  return new Promise((resolve, reject) => {
    const bytes = new ArrivingBytes(name, maxBytes);
    let stop = () => {};
    const settle = () => {
      stop();
      stream.removeListener("data", onData);
      stream.removeListener("end", onEnd);
      stream.removeListener("close", onClose);
      // An error that comes later concerns nobody, and must not be an uncaught one.
      stream.on("error", () => {});
      stream.removeListener("error", onError);
    };
    const fail = (error: unknown) => {
      settle();
      destroy(stream);
      reject(brokenOff(name, error));
    };
    const onData = (piece: unknown) => {
      try {
        bytes.add(piece);
      } catch (error) {
        fail(error);
      }
    };
    const onEnd = () => {
      settle();
      resolve(bytes.join());
    };
    const onError = (error: unknown) => fail(error);
    const onClose = () => fail(new Error("it was closed before its end"));
    stream.on("end", onEnd);
    stream.on("error", onError);
    stream.on("close", onClose);
    stream.on("data", onData);
    stream.resume?.();
    stop = onAbort(signal, () => fail(signal.reason));
  });
}

function destroy(stream: NodeStreamLike & NodeStreamState): void {
  stream.on("error", () => {});
  stream.destroy?.();
}

function wasRead(stream: object): boolean {
  try {
    return Readable.isDisturbed(stream as Readable);
  } catch {
    return false; // not Node's own
  }
}

function usedStream(name: string, what: string): NeuronBlipError {
  return new NeuronBlipError(
    "INVALID_INPUT",
    `${name} ${what}. A stream can be read once: give a new one, or its bytes.`,
  );
}

function brokenOff(name: string, error: unknown): NeuronBlipError {
  if (error instanceof NeuronBlipError) return error;
  return new NeuronBlipError("INVALID_IMAGE", `${name} broke off: ${oneLine(messageOf(error), 300)}.`, {
    cause: error,
  });
}
