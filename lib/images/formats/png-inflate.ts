import { createInflate } from "node:zlib";

/** Pillow reads compressed pixels in pieces of so many bytes, and of a chunk at most. */
const PIECE = 2 ** 16;
/** Pieces that are told apart; more, in a file that has something wrong, are taken together from the start. */
const MOST_PIECES = 4096;
const MOST_AT_ONCE = 2 ** 22;

/**
 * Inflates a picture's rows: all of them, or as many as a stream has that ends behind a row, where Pillow takes the others for zeros.
 * What is behind the last row is not looked at, so that no file inflates to more than its picture takes.
 * @param length of all rows
 * @param isRowEnd whether a row ends there
 * @returns `length` bytes or fewer
 * @throws Error where Pillow refuses: the stream is damaged, or cut
 */
export async function inflateRows(
  chunks: readonly Buffer[],
  length: number,
  isRowEnd: (at: number) => boolean,
): Promise<Uint8Array> {
  try {
    const { rows } = await inflate([Buffer.concat(chunks)], length);
    if (rows.length === length) return rows;
  } catch {
    // Damage behind the last row, perhaps.
  }
  const pieces = inPieces(chunks);
  const { rows, lastPiece } = await inflate(pieces, length);
  if (rows.length === length) return rows;
  // It must be whole where its last byte came from: Pillow does not read on.
  const { ended } = await inflate([Buffer.concat(pieces.slice(0, lastPiece + 1))], length);
  if (!ended || rows.length === 0 || !isRowEnd(rows.length)) throw new RangeError("the pixels are cut");
  return rows;
}

function inPieces(chunks: readonly Buffer[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += PIECE) pieces.push(chunk.subarray(at, at + PIECE));
  }
  if (pieces.length <= MOST_PIECES) return pieces;
  const last = pieces.splice(-MOST_PIECES);
  return [Buffer.concat(pieces), ...last];
}

interface Inflated {
  /** The first `length` bytes. */
  readonly rows: Uint8Array;
  /** Which piece the last of them came from. */
  readonly lastPiece: number;
  /** Whether the stream came to its end, rather than enough of it having been read. */
  readonly ended: boolean;
}

function inflate(pieces: readonly Buffer[], length: number): Promise<Inflated> {
  return new Promise((resolve, reject) => {
    const rows = new Uint8Array(length);
    const inflater = createInflate({ chunkSize: outputSize(length) });
    let got = 0;
    let writing = 0;
    let lastPiece = 0;
    inflater.on("data", (part: Buffer) => {
      rows.set(part.subarray(0, length - got), got);
      got += part.length;
      lastPiece = writing;
      if (got < length) return;
      inflater.destroy();
      resolve({ rows, lastPiece, ended: false });
    });
    inflater.on("end", () => resolve({ rows: rows.subarray(0, got), lastPiece, ended: true }));
    inflater.on("error", reject);
    const write = (index: number) => {
      const piece = pieces[index];
      writing = index;
      // The end by itself, so that a stream that is cut gives what it has before it fails.
      if (piece === undefined) inflater.end();
      else inflater.write(piece, () => write(index + 1));
    };
    write(0);
  });
}

/**
 * Returns how many bytes are inflated in one go, which nothing interrupts: a few milliseconds' work. They add up to the length as
 * nearly as can be, since zlib stops where its output is full, and damage behind the last row must not be met.
 */
function outputSize(length: number): number {
  return Math.max(64, Math.ceil(length / Math.ceil(length / MOST_AT_ONCE)));
}
