import { UsageError } from "./usage.js";

/** What a pipe may bring: more is no picture. */
const MOST_BYTES = 2 ** 29;

let fromInput: Promise<Buffer> | undefined;

/**
 * Returns the picture that an argument names: a path, or the standard input's bytes for `-`.
 * @throws UsageError where that is a terminal, or more than a picture can be.
 */
export async function pictureOf(argument: string): Promise<string | Buffer> {
  if (argument !== "-") return argument;
  fromInput ??= readInput();
  return fromInput;
}

async function readInput(): Promise<Buffer> {
  if (process.stdin.isTTY) throw new UsageError("`-` reads a picture from the standard input, which is a terminal.");
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of process.stdin) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MOST_BYTES)
      throw new UsageError(`The standard input has more than ${MOST_BYTES >> 20} MB: it is no picture.`);
  }
  return Buffer.concat(pieces);
}
