import { messageOf } from "../errors.js";
import type { ImageDecoder, StoredImage } from "../processing/raw-image.js";
import { chooseDecoder, type DecoderName } from "./decoder-table.js";
import {
  type DecodeContext,
  type DecodedPixels,
  FORMAT_NAMES,
  type ImageCodec,
  type ImageHeader,
} from "./formats/codec.js";
import { codecs, explainTruncation, type readImageHeader } from "./image-size.js";
import { loadSharp } from "./sharp.js";
import type { Sharp } from "./sharp-types.js";

export interface DecodeImageOptions extends DecodeContext {
  readonly decoder: ImageDecoder;
  /** Whether sharp has a place for it. */
  readonly mayUseSharp: boolean;
  /** Called before a decoder begins; what it throws is thrown. */
  readonly onDecoder?: (name: DecoderName) => void;
}

/** A picture that takes so many times an ordinary one's work is refused: what sharp has begun cannot be interrupted. */
const MOST_COST = 4;
/** In pixels of a baseline JPEG: what takes longer is slow. A tenth to a fifth of a second. */
const LONG_WORK = 2 ** 25;
/** Without sharp: jimp takes up to 40 bytes a pixel. */
const MOST_PIXELS_WITHOUT_SHARP = 25e6;

/** Says whether a picture that is not refused takes long. */
export function takesLong({ width, height, cost, slowness = 1 }: ImageHeader): boolean {
  return cost <= MOST_COST && width * height * cost * slowness > LONG_WORK;
}

/**
 * Decodes a picture. It keeps its thread busy: see DecoderPool.
 * @param file the encoded bytes, whose declared size has been checked; may be overwritten
 * @param header what readImageHeader returned
 * @returns the picture as it is stored, not yet turned by its orientation
 * @throws Error that says what is wrong with the file
 */
export async function decodeImage(
  file: Buffer,
  { format, ...header }: ReturnType<typeof readImageHeader>,
  { decoder, mayUseSharp, onDecoder, ...context }: DecodeImageOptions,
): Promise<StoredImage> {
  const { width, height, orientation, kind, cost } = header;
  if (cost > MOST_COST) {
    throw new Error(
      `it would take about ${Math.round(cost)} times as long to decode as other ${FORMAT_NAMES[format]} pictures of its size ` +
        `(${width} x ${height}), which is what a file made to keep a server busy looks like; save it anew`,
    );
  }
  const sharp = decoder === "sharp" ? await loadSharp(context.warn) : undefined;
  const name = chooseDecoder(format, kind, sharp === undefined ? "missing" : mayUseSharp ? "free" : "busy");
  if ((name === "jimp" || sharp === undefined) && width * height > MOST_PIXELS_WITHOUT_SHARP) {
    throw new Error(
      `it has ${width} x ${height} pixels, more than the ${MOST_PIXELS_WITHOUT_SHARP / 1e6} million that are decoded without sharp: ` +
        "install it (`npm install sharp`)",
    );
  }
  onDecoder?.(name);
  let pixels: DecodedPixels;
  try {
    pixels = await decodeBy(name, codecs[format], sharp, file, header, context);
  } catch (error) {
    const reason = explainTruncation(error, format, file);
    if (reason !== error) throw reason;
    // A decoder in JavaScript that uses what the file does not have: its words are about its own variables.
    if (error instanceof TypeError) {
      throw new Error(`the ${FORMAT_NAMES[format]} data is damaged (it refers to something that it does not hold)`, {
        cause: error,
      });
    }
    // Decoders throw strings, too.
    const [text = ""] = messageOf(error).split("\n");
    throw new Error(/^(?:it|its|the) /.test(text) ? text : `the ${FORMAT_NAMES[format]} data is damaged (${text})`, {
      cause: error,
    });
  }
  if (pixels.data.length !== width * height * pixels.channels) {
    throw new Error(`the ${FORMAT_NAMES[format]} data does not have the size that its header declares`);
  }
  return { ...pixels, width, height, orientation };
}

function decodeBy(
  name: ReturnType<typeof chooseDecoder>,
  codec: ImageCodec,
  sharp: Sharp | undefined,
  file: Buffer,
  header: ImageHeader,
  context: DecodeContext,
): Promise<DecodedPixels> {
  if (name === "sharp" && sharp && codec.sharp) return codec.sharp(sharp, file, header, context);
  const decode = name === "sharp" ? undefined : codec[name];
  if (decode === undefined) throw new Error(`the decoder table names ${name}, which its format does not have`);
  return decode(file, header, context);
}
