/**
 * What a value is, whichever realm made it. In a vm context, as jest's, vitest's and jsdom's tests run in, and between two windows,
 * each has its own Uint8Array, URL and Error, so that `instanceof` fails for what is as good.
 */
import { inspect } from "node:util";

/**
 * Over an ArrayBuffer, never a SharedArrayBuffer: Uint8Array<ArrayBuffer>, said so that TypeScript before 5.7, where typed arrays have
 * no parameter, reads it too.
 */
export type OwnUint8Array = ReturnType<Uint8ArrayConstructor["of"]>;
/** Float32Array<ArrayBuffer>, as above. */
export type OwnFloat32Array = ReturnType<Float32ArrayConstructor["of"]>;

/** The most characters of a value in a message. */
const LONGEST_VALUE = 100;

const BRIEF = {
  depth: 1,
  maxArrayLength: 5,
  maxStringLength: 60,
  breakLength: Number.POSITIVE_INFINITY,
  customInspect: false,
};

/** Writes a value as messages show it: in one line, cut to some 100 characters, however large it is; strings in quotes. */
export function shown(value: unknown): string {
  // Only what is shown is quoted: a text may have megabytes.
  if (typeof value === "string") return JSON.stringify(shorten(value, LONGEST_VALUE));
  try {
    return shorten(inspect(value, BRIEF).replaceAll(/\s+/g, " "), LONGEST_VALUE);
  } catch {
    return `a value of type ${typeof value} that cannot be shown`; // its own functions throw
  }
}

/** Of a text that is put in one line: to look at megabytes would take long. */
const LONGEST_READ = 65_536;

/** Writes a text from elsewhere as messages quote it: in one line, cut. */
export function oneLine(text: string, most = 160): string {
  return shorten(shorten(text, LONGEST_READ).replaceAll(/\s+/g, " "), most);
}

/** Cuts the middle out of a text: what it is about stands at its beginning, why and what to do at its end. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = Math.floor((most - 1) / 2);
  // Not between the two places of one character.
  return `${text.slice(0, most - 1 - end).replace(/[\ud800-\udbff]$/, "")}…${text.slice(-end).replace(/^[\udc00-\udfff]/, "")}`;
}

/** A URL object, as far as it is used; neither the DOM's types nor Node's are needed for that. */
export interface UrlLike {
  readonly href: string;
  readonly protocol: string;
}

/** Says whether a value is a URL object. */
export function isUrl(value: unknown): value is UrlLike {
  return (
    typeof value === "object" &&
    value !== null &&
    "href" in value &&
    typeof value.href === "string" &&
    "protocol" in value &&
    typeof value.protocol === "string"
  );
}

/** Says whether a value is a whole number from one to another. */
export function isWhole(value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most;
}

/** Says whether several were given, or one. */
export function isList<T>(given: T | readonly T[]): given is readonly T[] {
  return Array.isArray(given);
}
