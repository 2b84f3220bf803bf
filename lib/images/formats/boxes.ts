/** A box of the ISO base media file format, which AVIF files are made of. */
export interface Box {
  readonly type: string;
  readonly data: Buffer;
}

/** Yields the boxes in a row. @throws RangeError where one reaches beyond the data */
export function* boxes(data: Buffer): Generator<Box> {
  for (let at = 0; at + 8 <= data.length; ) {
    const short = data.readUInt32BE(at);
    const type = data.toString("latin1", at + 4, at + 8);
    const start = at + (short === 1 ? 16 : 8);
    const size = short === 1 ? Number(data.readBigUInt64BE(at + 8)) : short === 0 ? data.length - at : short;
    if (size < start - at || at + size > data.length) throw new RangeError("a box reaches beyond the file");
    yield { type, data: data.subarray(start, at + size) };
    at += size;
  }
}

/** Finds the first box of a type. */
export function findBox(data: Buffer, type: string): Buffer | undefined {
  for (const box of boxes(data)) if (box.type === type) return box.data;
  return undefined;
}

/** Reads numbers of given byte counts one after the other. */
export class BoxReader {
  readonly data: Buffer;
  at: number;

  constructor(data: Buffer, at = 0) {
    this.data = data;
    this.at = at;
  }

  /** Reads an unsigned number. @param bytes 0 to 8; of no bytes the value is 0 */
  uint(bytes: number): number {
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + this.data.readUInt8(this.at++);
    return value;
  }
}
