import { Problem } from "../problem.js";

/** Decodes base64, or its URL-safe kind; white space is left out. @throws Problem `INVALID_INPUT` */
export function fromBase64(text: string): Buffer {
  const packed = /\s/.test(text) ? text.replace(/\s+/g, "") : text;
  const padding = packed.endsWith("==") ? 2 : packed.endsWith("=") ? 1 : 0;
  const bytes = Buffer.from(packed, "base64");
  // Node leaves out what is no base64, and what follows padding.
  if (packed === "" || bytes.length !== Math.floor(((packed.length - padding) * 3) / 4)) {
    throw new Problem("INVALID_INPUT", "The picture is not base64.");
  }
  return bytes;
}

/** Decodes a `data:` URL in base64; undefined for what is none. @throws Problem `INVALID_INPUT` */
export function fromDataUrl(url: string): Buffer | undefined {
  if (!/^data:/i.test(url)) return undefined;
  const comma = url.indexOf(",");
  if (comma < 0 || !/;base64$/i.test(url.slice(0, comma))) {
    throw new Problem("INVALID_INPUT", "A data: URL of a picture is in base64: data:image/jpeg;base64,...");
  }
  return fromBase64(url.slice(comma + 1));
}
