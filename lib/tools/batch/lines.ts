const LINE_FEED = 10;

export interface Line {
  /** Without the line feed; undefined where the line has more bytes than may be. */
  readonly bytes: Buffer | undefined;
  /** Where the next line begins. */
  readonly end: number;
  /** Whether a line feed ends it. */
  readonly isWhole: boolean;
}

/**
 * Splits bytes into lines; what comes last without a line feed is one, too.
 * @param most bytes of a line: of a longer one nothing is kept.
 */
export async function* linesOf(pieces: AsyncIterable<Buffer>, most: number): AsyncGenerator<Line, void> {
  let begun: Buffer[] = [];
  let length = 0;
  let end = 0;
  const take = (isWhole: boolean): Line => {
    const bytes = length > most ? undefined : begun.length === 1 ? begun[0] : Buffer.concat(begun);
    begun = [];
    length = 0;
    return { bytes, end, isWhole };
  };
  const add = (bytes: Buffer) => {
    length += bytes.length;
    if (length <= most) begun.push(bytes);
    else begun = [];
  };
  for await (const piece of pieces) {
    let from = 0;
    for (let at = piece.indexOf(LINE_FEED); at >= 0; at = piece.indexOf(LINE_FEED, from)) {
      add(piece.subarray(from, at));
      end += at + 1 - from;
      from = at + 1;
      yield take(true);
    }
    if (from === piece.length) continue;
    add(piece.subarray(from));
    end += piece.length - from;
  }
  if (length > 0) yield take(false);
}
