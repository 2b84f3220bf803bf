/** Encoded pictures on their way from the caller to the thread that decodes them. */
import { type OwnUint8Array, oneLine } from "../util/values.js";

/** A file's bytes, in memory that no caller can reach, and what errors call the picture. */
export interface PictureFile {
  readonly bytes: OwnUint8Array;
  /** What errors call it; cut where they do. */
  readonly name: string;
}

/** Returns a picture's name as messages give it, with a path of usual length whole. */
export function shownName(name: string): string {
  return oneLine(name, 180);
}

/** The names of files whose bytes are handed on as sources. */
const names = new WeakMap<object, string>();

/**
 * Makes a file the source of one picture to load. Its bytes move to the thread that decodes them: the array is empty then.
 */
export function asSource({ bytes, name }: PictureFile): OwnUint8Array {
  names.set(bytes, name);
  return bytes;
}

/** Returns the file that `asSource` made a source of. */
export function ownFile(source: Uint8Array): PictureFile | undefined {
  const name = names.get(source);
  return name === undefined ? undefined : { bytes: source as OwnUint8Array, name };
}

/** Copies a caller's bytes, which may be shared with other threads, and may change or go away. */
export function copyBytes({ buffer, byteOffset, byteLength }: ArrayBufferView): OwnUint8Array {
  return new Uint8Array(new Uint8Array(buffer, byteOffset, byteLength));
}
