/** Pictures that URLs hold or name: data:, http: and https:. */
import { Buffer } from "node:buffer";
import { setImmediate as nextTurn } from "node:timers/promises";
import { URL } from "node:url";
import { messageOf, NeuronBlipError } from "../errors.js";
import type { FetchPicture } from "../processing/image-source.js";
import { oneLine } from "../util/values.js";
import { type ArrivalLimits, ArrivingBytes, withinTime } from "./arriving-bytes.js";
import { kindOf } from "./describe-source.js";
import type { PictureFile } from "./picture-file.js";
import { isResponse, readBody } from "./read-stream.js";

export interface UrlSettings extends ArrivalLimits {
  readonly fetch: FetchPicture | false | undefined;
}

/** Characters of a data: URL that are decoded in one turn of the event loop. */
const SLICE = 2 ** 20;

/**
 * Fetches what an http(s) address names.
 * @throws NeuronBlipError `INVALID_IMAGE` where it cannot be fetched, `IMAGE_TOO_LARGE`, `ABORTED`, `INVALID_INPUT` where none may be
 */
export async function fetchFile(url: string, options: UrlSettings): Promise<PictureFile> {
  const name = `The picture at "${oneLine(url)}"`;
  const { fetch = globalThis.fetch, maxBytes } = options;
  if (fetch === false) {
    throw invalid(`${name} is not fetched: the option fetch: false says so. Pass its bytes, or a data: URL.`);
  }
  if (typeof fetch !== "function")
    throw invalid(`${name} is not fetched: there is no fetch here. Give one as the option fetch.`);
  if (!URL.canParse(url)) throw invalid(`${name} has no valid URL.`);
  const bytes = await withinTime(options, name, async (signal) => {
    let response: unknown;
    try {
      response = await fetch(url, { signal });
    } catch (error) {
      throw new NeuronBlipError("INVALID_IMAGE", `${name} cannot be fetched: ${reasonOf(error)}.`, { cause: error });
    }
    if (typeof response !== "object" || response === null || !isResponse(response)) {
      throw invalid(`The option fetch must resolve with a Response, not ${kindOf(response)}.`);
    }
    return readBody(response, name, maxBytes, signal);
  });
  return { bytes, name };
}

/** Returns why a fetch failed: undici says "fetch failed", and why in the cause. */
function reasonOf(error: unknown): string {
  const cause = typeof error === "object" && error !== null && "cause" in error ? error.cause : undefined;
  return oneLine(cause === undefined ? messageOf(error) : `${messageOf(error)} (${messageOf(cause)})`, 300);
}

/** Reads a data: URL. @throws NeuronBlipError `INVALID_IMAGE` for damaged base64, `IMAGE_TOO_LARGE`, `INVALID_INPUT` */
export async function readDataUrl(url: string, { maxBytes, signal }: UrlSettings): Promise<PictureFile> {
  const comma = url.slice(0, 1000).indexOf(",");
  if (comma < 0) throw invalid(`"${oneLine(url, 60)}" is no data: URL: it has no comma behind its type.`);
  const type = url.slice("data:".length, comma);
  const name = `The picture in the data: URL (${oneLine(type, 60) || "of no type"}, ${url.length} characters)`;
  const fragment = url.indexOf("#", comma);
  const end = fragment < 0 ? url.length : fragment;
  const isBase64 = /;\s*base64\s*$/i.test(type);
  const bytes = new ArrivingBytes(name, maxBytes);
  let rest = "";
  for (let at = comma + 1; at < end; at += SLICE) {
    if (at > comma + 1) await nextTurn();
    if (signal?.aborted) break; // whoever asked sees to it
    const isLast = at + SLICE >= end;
    const slice = rest + url.slice(at, Math.min(at + SLICE, end));
    // An escape, or a group of base64, that is cut goes to the next slice.
    const whole = isLast ? slice.length : slice.length - (/%.?$/.exec(slice)?.[0].length ?? 0);
    const text = slice.slice(0, whole);
    rest = slice.slice(whole);
    if (!isBase64) {
      bytes.add(percentDecoded(text));
      continue;
    }
    const base64 = (text.includes("%") ? percentDecoded(text).toString("latin1") : text).replace(/\s+/g, "");
    const groups = isLast ? base64.length : base64.length - (base64.length % 4);
    rest = base64.slice(groups) + rest;
    bytes.add(fromBase64(base64.slice(0, groups), isLast, name));
  }
  return { bytes: bytes.join(), name };
}

function fromBase64(text: string, isLast: boolean, name: string): Buffer {
  const unpadded = isLast ? text.replace(/={1,2}$/, "") : text;
  const bytes = Buffer.from(unpadded, "base64");
  // Node passes over what is no base64.
  if (unpadded.length % 4 === 1 || bytes.length !== Math.floor((unpadded.length * 3) / 4)) {
    throw new NeuronBlipError(
      "INVALID_IMAGE",
      `${name} is damaged: its base64 has characters that are none, or ends too early.`,
    );
  }
  return bytes;
}

/** Decodes text in which %41 stands for A to bytes. */
function percentDecoded(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  let to = 0;
  for (let from = 0; from < bytes.length; from++) {
    const byte = bytes[from] ?? 0;
    const hex = byte === 0x25 ? bytes.toString("latin1", from + 1, from + 3) : "";
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes[to++] = Number.parseInt(hex, 16);
      from += 2;
    } else bytes[to++] = byte;
  }
  return bytes.subarray(0, to);
}

function invalid(message: string): NeuronBlipError {
  return new NeuronBlipError("INVALID_INPUT", message);
}
