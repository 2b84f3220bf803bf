// JSON files with a wrong value in them, and what may become of loading them.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { NeuronBlipError } from "neuron-blip";

export type Json = { [key: string]: unknown };
export type Path = readonly (string | number)[];

export const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

/** Values that a field may hold instead of its own, as JSON. */
export const WRONG = [
  "null",
  "true",
  "-1",
  "1.5",
  "1e9",
  "1e308",
  '"x"',
  "[]",
  "{}",
  '[[{"a":null}]]',
  '{"__proto__":1}',
];

/** The places of a JSON value's fields, but for long tables. */
function pathsOf(value: unknown, most: number, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries = Object.entries(value).slice(0, most);
  return [path, ...entries.flatMap(([name, inner]) => pathsOf(inner, most, [...path, name]))].filter(
    ({ length }) => length > 0,
  );
}

/** The JSON text with another value at a place. */
export function withValue(json: unknown, path: Path, value: string): string {
  const mark = "\u0001the value\u0001";
  const copy = structuredClone(json) as Json;
  const inner = path.slice(0, -1).reduce<Json>((object, name) => object[name] as Json, copy);
  inner[path.at(-1) as string] = mark;
  return JSON.stringify(copy).replace(JSON.stringify(mark), () => value);
}

/** A call that may fail, but only as this package's calls do. */
export async function isSound(what: string, call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    assert(error instanceof NeuronBlipError, `${what}: not a NeuronBlipError: ${(error as Error)?.stack}`);
    assert(error.message.length <= 1000, `${what}: a message of ${error.message.length} characters`);
    assert(!error.message.includes("\n"), `${what}: more than a line: ${error.message}`);
    return false;
  }
}

/**
 * Loads with each field of a JSON file replaced by each value, and with the file as it was.
 * @returns how many loads there were, and how many did not fail.
 */
export async function tryWrongValues(
  file: string,
  values: readonly string[],
  load: () => Promise<unknown>,
  most: number,
) {
  const name = basename(file);
  const json: unknown = JSON.parse(readFileSync(file, "utf8"));
  const found = { loads: 0, good: 0 };
  for (const path of pathsOf(json, most)) {
    for (const value of values) {
      writeFileSync(file, withValue(json, path, value));
      found.loads++;
      if (await isSound(`${name}: ${path.join(".")} = ${value.slice(0, 40)}`, load)) found.good++;
    }
  }
  writeFileSync(file, JSON.stringify(json));
  await load();
  return found;
}
