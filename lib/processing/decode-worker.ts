/** The worker thread that decodes pictures; its other side is decoder.ts. */
import { parentPort } from "node:worker_threads";
import { messageOf } from "../errors.js";
import { decodeImage } from "./decode-image.js";
import type { RawImage } from "./raw-image.js";

export interface DecodeRequest {
  readonly file: Uint8Array;
  readonly maxPixels: number;
}

export type DecodeReply = { readonly image: RawImage } | { readonly reason: string };

// The TIFF and GIF decoders print to the console about what they find; the process's output is not theirs.
console.log = () => {};

parentPort?.on("message", async ({ file, maxPixels }: DecodeRequest) => {
  try {
    const image = await decodeImage(Buffer.from(file.buffer, file.byteOffset, file.byteLength), maxPixels);
    // Only memory of its own can change threads: a Buffer may share Node's pool.
    const whole = image.data.byteLength === image.data.buffer.byteLength;
    const data = whole ? image.data : new Uint8Array(image.data);
    reply({ image: { ...image, data } }, [data.buffer as ArrayBuffer]);
  } catch (error) {
    reply({ reason: messageOf(error) });
  }
});

function reply(message: DecodeReply, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
