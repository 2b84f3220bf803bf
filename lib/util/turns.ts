/** Long work on the event loop, in turns of a few ms between which others go on. */
// Not the global ones, which tests replace: jsdom and fake timers.
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers";
import { throwIfAborted } from "../errors.js";

/** How long, in ms, all such work together holds the event loop at a time. */
const LONGEST_TURN_MS = 1;

/** When the work of this turn of the event loop began; undefined before any has. */
let began: number | undefined;

/** Work that waits for its next turn: each turn goes to one, so that many calls hold the loop no longer than one does. */
const waiting: (() => void)[] = [];

/** Says whether long work has held the event loop long enough: then it awaits `nextTurn`. Begins a turn where none has begun. */
export function isTurnOver(): boolean {
  const now = performance.now();
  if (began === undefined) {
    began = now;
    setImmediate(() => {
      began = undefined;
      waiting.shift()?.();
    });
  }
  return now - began > LONGEST_TURN_MS;
}

/**
 * Lets the event loop go on, when a turn is over.
 * @throws NeuronBlipError `ABORTED` where the signal was aborted meanwhile.
 */
export async function nextTurn(signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => waiting.push(resolve));
  isTurnOver(); // begins this one, after which the next in line goes on
  throwIfAborted(signal);
}

/**
 * Does work in as many turns as it takes; what is short is done in one.
 * @param steps yields wherever it may be interrupted.
 * @throws what the steps throw; NeuronBlipError `ABORTED`, between two turns.
 */
export async function inTurns<T>(steps: Generator<unknown, T>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (isTurnOver()) await nextTurn(signal);
  }
}

/** Does the same work in one turn, however long it takes. */
export function atOnce<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Maps a list, in steps. */
export function* mapSteps<T, U>(items: readonly T[], map: (item: T, at: number) => U): Generator<void, U[]> {
  const mapped: U[] = [];
  for (const item of items) {
    mapped.push(map(item, mapped.length));
    yield;
  }
  return mapped;
}

/** How many items are sorted, or merged, in one step. */
const SORTED_AT_ONCE = 1024;

/** Sorts a list, in steps: as `toSorted`, equal items in their order. */
export function* sortSteps<T extends number | object>(
  items: readonly T[],
  compare: (one: T, other: T) => number,
): Generator<void, T[]> {
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += SORTED_AT_ONCE) {
    runs.push(items.slice(at, at + SORTED_AT_ONCE).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(yield* mergeSteps(runs[i] ?? [], runs[i + 1] ?? [], compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function* mergeSteps<T extends number | object>(
  first: T[],
  second: T[],
  compare: (one: T, other: T) => number,
): Generator<void, T[]> {
  if (second.length === 0) return first;
  const merged: T[] = [];
  let [i, j] = [0, 0];
  while (i < first.length || j < second.length) {
    const one = first[i];
    const other = second[j];
    if (one !== undefined && (other === undefined || compare(one, other) <= 0)) {
      merged.push(one);
      i++;
    } else if (other !== undefined) {
      merged.push(other);
      j++;
    }
    if (merged.length % SORTED_AT_ONCE === 0) yield;
  }
  return merged;
}
