import { constants, inflateSync } from "node:zlib";
import { exifOfRawProfile, orientationOf } from "./orientation.js";
import type { PngChunk } from "./png-chunks.js";

/** Pillow's limits: of one compressed text or profile, and of all texts. */
const MOST_OF_ONE = 2 ** 20;
const MOST_OF_ALL = 64 * MOST_OF_ONE;
/** What deflate can shorten data by, at most. */
const BEST_RATIO = 1032;

const PROFILE = "Raw profile type exif";
const XMP = "XML:com.adobe.xmp";

/**
 * Reads the orientation from EXIF, from the text chunks that hold EXIF or XMP, and checks the other texts as Pillow does.
 * @throws Error where Pillow refuses: a text that inflates to more than its limits, a compression that is unknown
 */
export function readPngOrientation(chunks: readonly PngChunk[]): number {
  const texts = new Map<string, Buffer>();
  const budget = { left: MOST_OF_ALL };
  let exif: Buffer | undefined;
  for (const { type, data } of chunks) {
    if (type === "eXIf") exif = data;
    else if (type === "iCCP") checkProfile(data, budget);
    else {
      const text = TEXT_CHUNKS[type]?.(data, budget);
      if (text === undefined) continue;
      texts.set(text.key, text.value);
      if (text.key === "exif" && type === "tEXt") exif = text.value;
    }
  }
  const profile = texts.get(PROFILE);
  if (exif === undefined && profile !== undefined) {
    exif = exifOfRawProfile(profile.toString("latin1"));
    if (exif === undefined) throw new Error("its PNG text with EXIF data is damaged");
  }
  return orientationOf({ exif, xmp: texts.get(XMP) });
}

interface Budget {
  left: number;
}

interface Text {
  readonly key: string;
  readonly value: Buffer;
}

const TEXT_CHUNKS: Readonly<Record<string, (data: Buffer, budget: Budget) => Text | undefined>> = {
  tEXt: (data, budget) => {
    const [key, value = Buffer.alloc(0)] = split(data);
    spend(budget, value.length);
    return { key: key.toString("latin1"), value };
  },
  zTXt: (data, budget) => {
    const [key, value = Buffer.alloc(0)] = split(data);
    checkMethod(value[0] ?? 0);
    return { key: key.toString("latin1"), value: inflateText(value.subarray(1), budget) ?? Buffer.alloc(0) };
  },
  iTXt: (data, budget) => {
    const [key, rest] = split(data);
    if (rest === undefined || rest.length < 2) return undefined;
    const [, translated] = split(rest.subarray(2));
    const value = translated && split(translated)[1];
    if (value === undefined) return undefined;
    if (rest[0] === 0) {
      spend(budget, value.length);
      return { key: key.toString("latin1"), value };
    }
    const inflated = rest[1] === 0 ? inflateText(value, budget) : undefined;
    return inflated && { key: key.toString("latin1"), value: inflated };
  },
};

/** Returns what is before the first zero byte, and behind it if there is one. */
function split(data: Buffer): [Buffer, Buffer | undefined] {
  const at = data.indexOf(0);
  return at < 0 ? [data, undefined] : [data.subarray(0, at), data.subarray(at + 1)];
}

function checkProfile(data: Buffer, budget: Budget): void {
  const name = data.indexOf(0);
  checkMethod(data[name + 1] ?? -1);
  inflateText(data.subarray(name + 2), budget);
}

function checkMethod(method: number): void {
  if (method !== 0) throw new Error("its PNG text is compressed in an unknown way");
}

/** Inflates a text. Undefined where it is damaged: as if there were no text. */
function inflateText(data: Buffer, budget: Budget): Buffer | undefined {
  try {
    const text = inflateSync(data, { maxOutputLength: MOST_OF_ONE, finishFlush: constants.Z_SYNC_FLUSH });
    spend(budget, text.length);
    return text;
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    if (error.code === "ERR_BUFFER_TOO_LARGE") {
      throw new Error("its PNG text or profile inflates to more than 1 MB", { cause: error });
    }
    // As much as it may have inflated to before the damage.
    spend(budget, Math.min(MOST_OF_ONE, data.length * BEST_RATIO));
    return undefined;
  }
}

function spend(budget: Budget, bytes: number): void {
  budget.left -= bytes;
  if (budget.left < 0) throw new Error("its PNG texts take more than 64 MB");
}
