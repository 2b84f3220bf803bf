/**
 * What the library tells of its work by node:diagnostics_channel: its channels, their messages, and the hooks that send them. Where
 * nobody subscribes, nothing is measured or made.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import { performance } from "node:perf_hooks";
import { NeuronBlipError } from "../errors.js";
import { shown } from "./values.js";

/** The methods of NeuronBlip that are calls; a stream is an `answer` or a `caption`. */
export type CallTask = "answer" | "caption" | "match" | "rank" | "similarity" | "encodeImage";

/** A call has come; it may still be refused. */
export interface CallStartMessage {
  /** The call's `callId`, or one of the library's own, which is unique in the process. */
  readonly callId: string;
  readonly task: CallTask;
  /** In ms, on the clock of performance.now(), as all times here. */
  readonly startedAt: number;
}

/** A call has ended. */
export interface CallEndMessage extends CallStartMessage {
  readonly durationMs: number;
  /** What it threw; undefined where it gave a result, which with `settled` may hold errors. */
  readonly error?: unknown;
}

/** A call read the file of a picture. */
export interface PictureMessage {
  readonly callId: string | undefined;
  readonly bytes: number;
}

/** How many rows of a batch are a call's. */
export interface CallRows {
  readonly callId: string;
  readonly rows: number;
}

/**
 * "decode": a picture's file or pixels become the model's input, the wait for a decoder's thread included. "vision": pictures are
 * encoded. "encoder": texts are read together with pictures. "decoder": texts are generated or ranked.
 */
export type Stage = "decode" | "vision" | "encoder" | "decoder";

/** A stage has ended. */
export interface StageMessage {
  readonly stage: Stage;
  readonly startedAt: number;
  readonly durationMs: number;
  /** The calls that it worked for, with their rows of its batch. A picture that several calls asked for is one's. */
  readonly calls: readonly CallRows[];
  /** What it threw. */
  readonly error?: unknown;
}

/** What a batch's rows are: pictures, pictures whose keys and values are computed, or texts. */
export type BatchKind = "vision" | "keysValues" | "texts";

/** A batch has ended. */
export interface BatchMessage {
  readonly kind: BatchKind;
  readonly rows: number;
  readonly startedAt: number;
  readonly durationMs: number;
  /** The calls that its rows are of; `queueWaitMs` is the wait of a call's first row. */
  readonly calls: readonly (CallRows & { readonly queueWaitMs: number })[];
  /** What it threw. Its rows may run again, each by itself: these are further batches. */
  readonly error?: unknown;
}

/** Something happened to a replica: see the event of that name. */
export interface ReplicaMessage {
  readonly event: "replicaFailed" | "replicaReloading" | "replicaReady" | "replicaGivenUp" | "restartRequired";
  /** Which one; undefined for `restartRequired`, which is of all. */
  readonly replica?: number;
  readonly error?: Error;
}

/** The message of each channel, by the channel's name. */
export interface DiagnosticsMessages {
  "neuron-blip:call:start": CallStartMessage;
  "neuron-blip:call:end": CallEndMessage;
  "neuron-blip:picture": PictureMessage;
  "neuron-blip:stage": StageMessage;
  "neuron-blip:batch": BatchMessage;
  "neuron-blip:replica": ReplicaMessage;
}

const callStart = channel("neuron-blip:call:start");
const callEnd = channel("neuron-blip:call:end");
const picture = channel("neuron-blip:picture");
const stages = channel("neuron-blip:stage");
const batches = channel("neuron-blip:batch");
const replicas = channel("neuron-blip:replica");

/** Those whose messages name calls. */
const OF_CALLS = [callStart, callEnd, picture, stages, batches];

/** The calls that what runs is for. */
const running = new AsyncLocalStorage<readonly CallRows[]>();

let calls = 0;

/**
 * Subscribes to one of the library's channels, as node:diagnostics_channel's `subscribe`, with the type of its messages.
 * @returns what ends the subscription.
 */
export function onDiagnostics<Name extends keyof DiagnosticsMessages>(
  name: Name,
  listener: (message: DiagnosticsMessages[Name]) => void,
): () => void {
  const onMessage = (message: unknown) => listener(message as DiagnosticsMessages[Name]);
  subscribe(name, onMessage);
  return () => void unsubscribe(name, onMessage);
}

/** Runs a call. @param given its `callId`. @throws NeuronBlipError `INVALID_INPUT` where that is no string. */
export async function traceCall<T>(task: CallTask, given: string | undefined, call: () => Promise<T>): Promise<T> {
  if (given !== undefined && typeof given !== "string") {
    throw new NeuronBlipError("INVALID_INPUT", `callId must be a string, not ${shown(given)}.`);
  }
  if (!OF_CALLS.some(({ hasSubscribers }) => hasSubscribers)) return call();
  const callId = given ?? `neuron-blip-${++calls}`;
  const start: CallStartMessage = { callId, task, startedAt: performance.now() };
  callStart.publish(start);
  return untilEnd(
    () => running.run([{ callId, rows: 1 }], call),
    (end) => callEnd.publish({ ...start, ...end } satisfies CallEndMessage),
  );
}

/** Returns the `callId` of the call that runs; undefined where there is none, or nobody listened when it began. */
export function runningCall(): string | undefined {
  return running.getStore()?.[0]?.callId;
}

/** Tells of a picture's file. */
export function tellOfPicture(bytes: number): void {
  if (picture.hasSubscribers) picture.publish({ callId: runningCall(), bytes } satisfies PictureMessage);
}

/** Runs a stage of the calls that run. */
export async function traceStage<T>(stage: Stage, work: () => Promise<T>): Promise<T> {
  if (!stages.hasSubscribers) return work();
  const calls = running.getStore() ?? [];
  return untilEnd(work, (end) => stages.publish({ stage, calls, ...end } satisfies StageMessage));
}

/** A row of a batch: whose it is, and since when it waited. */
export interface BatchRow {
  readonly callId: string | undefined;
  readonly since: number;
}

/** Runs a batch, and in it what its stages tell of its calls. */
export async function traceBatch<T>(kind: BatchKind, rows: readonly BatchRow[], work: () => Promise<T>): Promise<T> {
  if (!OF_CALLS.some(({ hasSubscribers }) => hasSubscribers)) return work();
  const startedAt = performance.now();
  const calls = new Map<string, { callId: string; rows: number; queueWaitMs: number }>();
  for (const { callId, since } of rows) {
    if (callId === undefined) continue;
    const call = calls.get(callId) ?? { callId, rows: 0, queueWaitMs: startedAt - since };
    call.rows++;
    calls.set(callId, call);
  }
  const ofCalls = [...calls.values()];
  return untilEnd(
    () => running.run(ofCalls, work),
    (end) => batches.publish({ kind, rows: rows.length, calls: ofCalls, ...end } satisfies BatchMessage),
  );
}

/** Tells what happened to a replica. */
export function tellOfReplica(message: ReplicaMessage): void {
  if (replicas.hasSubscribers) replicas.publish(message);
}

/** Runs work, and tells when it began, how long it took, and what it threw. */
async function untilEnd<T>(
  work: () => Promise<T>,
  tell: (end: { startedAt: number; durationMs: number; error?: unknown }) => void,
): Promise<T> {
  const startedAt = performance.now();
  const end = () => ({ startedAt, durationMs: performance.now() - startedAt });
  let result: T;
  try {
    result = await work();
  } catch (error) {
    tell({ ...end(), error });
    throw error;
  }
  tell(end());
  return result;
}
