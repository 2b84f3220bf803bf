import { Problem } from "../problem.js";
import type { ByteShare } from "./byte-budget.js";

/**
 * Reads a stream to its end.
 * @param share counts what comes.
 * @throws Problem `BODY_TOO_LARGE`, `BUSY`; what the stream fails with.
 */
export async function collect(
  stream: AsyncIterable<Uint8Array | string>,
  maxBytes: number,
  share: ByteShare,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const piece of stream) {
    const chunk =
      typeof piece === "string" ? Buffer.from(piece) : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(maxBytes);
    share.take(chunk.length);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
}

export function tooLarge(maxBytes: number): Problem {
  return new Problem("BODY_TOO_LARGE", `The body has more than ${maxBytes} bytes, which is the limit.`);
}
