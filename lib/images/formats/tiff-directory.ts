/** The byte size of each type of TIFF values that Pillow reads. */
const TYPE_SIZES: Readonly<Record<number, number>> = {
  1: 1, // byte
  2: 1, // ASCII
  3: 2, // short
  4: 4, // long
  5: 8, // rational
  6: 1, // signed byte
  7: 1, // undefined
  8: 2, // signed short
  9: 4, // signed long
  10: 8, // signed rational
  11: 4, // float
  12: 8, // double
  13: 4, // directory
  16: 8, // long of 8 bytes
};

export interface TiffEntry {
  readonly type: number;
  /** Of one value, in bytes. */
  readonly valueSize: number;
  /** Its values' bytes. */
  readonly data: Buffer;
}

/**
 * The first directory of a TIFF structure (a TIFF file, or an EXIF block), read as Pillow reads it: of a tag that comes twice
 * the last counts; entries of unknown types and those without values are as if they were not there; what is behind damage is
 * not there either.
 */
export class TiffDirectory {
  readonly littleEndian: boolean;
  /** Whether it is a BigTIFF. */
  readonly big: boolean;
  readonly #entries = new Map<number, TiffEntry>();

  /**
   * Reads the directory.
   * @throws Error where the data does not begin as a TIFF structure does; RangeError where it ends before the directory
   */
  constructor(data: Buffer) {
    const start = data.toString("latin1", 0, 4);
    // Two of them are wrong, and written all the same.
    if (!["MM\0*", "II*\0", "MM*\0", "II\0*", "MM\0+", "II+\0"].includes(start)) {
      throw new Error("it does not begin as a TIFF structure does");
    }
    this.littleEndian = start.startsWith("II");
    this.big = start.includes("+");
    let at = this.big ? this.uint64(data, 8) : this.uint32(data, 4);
    const count = this.big ? this.uint64(data, at) : this.uint16(data, at);
    at += this.big ? 8 : 2;
    const entrySize = this.big ? 20 : 12;
    for (let i = 0; i < count && at + entrySize <= data.length; i++, at += entrySize) {
      const type = this.uint16(data, at + 2);
      const values = this.big ? this.uint64(data, at + 4) : this.uint32(data, at + 4);
      const valueSize = TYPE_SIZES[type] ?? 0;
      const size = valueSize * values;
      if (size === 0) continue;
      const room = this.big ? 8 : 4;
      const inline = at + entrySize - room;
      const position = size <= room ? inline : this.big ? this.uint64(data, inline) : this.uint32(data, inline);
      if (position + size > data.length) break;
      this.#entries.set(this.uint16(data, at), { type, valueSize, data: data.subarray(position, position + size) });
    }
  }

  uint16(data: Buffer, at: number): number {
    return this.littleEndian ? data.readUInt16LE(at) : data.readUInt16BE(at);
  }

  uint32(data: Buffer, at: number): number {
    return this.littleEndian ? data.readUInt32LE(at) : data.readUInt32BE(at);
  }

  /** Reads a number of 64 bits, rounded above 2^53, which lies beyond any file. */
  uint64(data: Buffer, at: number): number {
    return Number(this.littleEndian ? data.readBigUInt64LE(at) : data.readBigUInt64BE(at));
  }

  entry(tag: number): TiffEntry | undefined {
    return this.#entries.get(tag);
  }

  /** Returns all values of a tag, as numbers: rationals as their quotients, text as its bytes. None where the tag is absent. */
  values(tag: number): number[] {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return [];
    const { type, valueSize, data } = entry;
    return Array.from({ length: data.length / valueSize }, (_, i) => this.#value(data, type, i * valueSize));
  }

  /** Returns the first value of a tag. */
  value(tag: number, absent: number): number {
    return this.values(tag)[0] ?? absent;
  }

  #value(data: Buffer, type: number, at: number): number {
    const little = this.littleEndian;
    switch (type) {
      case 3:
        return this.uint16(data, at);
      case 4:
      case 13:
        return this.uint32(data, at);
      case 5:
        return this.uint32(data, at) / this.uint32(data, at + 4);
      case 6:
        return data.readInt8(at);
      case 8:
        return little ? data.readInt16LE(at) : data.readInt16BE(at);
      case 9:
        return little ? data.readInt32LE(at) : data.readInt32BE(at);
      case 10:
        return this.#value(data, 9, at) / this.#value(data, 9, at + 4);
      case 11:
        return little ? data.readFloatLE(at) : data.readFloatBE(at);
      case 12:
        return little ? data.readDoubleLE(at) : data.readDoubleBE(at);
      case 16:
        return this.uint64(data, at);
      default:
        return data.readUInt8(at);
    }
  }
}
