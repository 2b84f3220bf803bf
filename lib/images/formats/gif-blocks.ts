/** Where a GIF's first frame is, and how it is drawn. */
export interface GifFrame {
  readonly screenWidth: number;
  readonly screenHeight: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly interlaced: boolean;
  /** RGB triples, or undefined where indices are levels of gray. */
  readonly palette: Buffer | undefined;
  /** The index around a frame that does not fill the screen. */
  readonly background: number;
  /** The first bits of a code. */
  readonly codeBits: number;
  /** Where the blocks of codes begin. */
  readonly start: number;
}

const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
const CONTROL = 0xf9;
const COMMENT = 0xfe;
const APPLICATION = 0xff;

/**
 * Reads a GIF up to the pixels of its first frame as Pillow does: bytes between blocks are passed over.
 * @throws Error, RangeError where Pillow refuses
 */
export function readFirstFrame(file: Buffer): GifFrame {
  const reader = new BlockReader(file, 13);
  const screen = reader.palette(file.readUInt8(10));
  let transparent: number | undefined;
  for (;;) {
    const kind = reader.byte();
    if (kind === IMAGE) break;
    if (kind === TRAILER) throw new Error("the GIF has no frame");
    if (kind === EXTENSION) transparent = readExtension(reader) ?? transparent;
  }
  const [x, y, width, height] = [reader.short(), reader.short(), reader.short(), reader.short()];
  const flags = reader.byte();
  const own = reader.palette(flags);
  const codeBits = reader.byte();
  return {
    screenWidth: file.readUInt16LE(6),
    screenHeight: file.readUInt16LE(8),
    x,
    y,
    width,
    height,
    interlaced: (flags & 0x40) !== 0,
    palette: own || screen || undefined,
    background: transparent ?? 0,
    codeBits,
    start: reader.at,
  };
}

/** Reads an extension. @returns the transparent index, where it is a control block that has one */
function readExtension(reader: BlockReader): number | undefined {
  const label = reader.byte();
  const block = reader.block();
  let transparent: number | undefined;
  if (label === CONTROL && block !== undefined) {
    if (block.readUInt8(0) & 1) transparent = block.readUInt8(3);
    block.readUInt16LE(1);
  }
  if (label === APPLICATION && block?.toString("latin1").startsWith("NETSCAPE2.0")) reader.block();
  // Pillow takes an empty extension's end for its first block, but a comment's.
  if (label === COMMENT && block === undefined) return undefined;
  while (reader.block() !== undefined);
  return transparent;
}

class BlockReader {
  readonly #file: Buffer;
  at: number;

  constructor(file: Buffer, at: number) {
    this.#file = file;
    this.at = at;
  }

  byte(): number {
    return this.#file.readUInt8(this.at++);
  }

  short(): number {
    this.at += 2;
    return this.#file.readUInt16LE(this.at - 2);
  }

  /** Reads a block behind its length; undefined for the end of blocks. */
  block(): Buffer | undefined {
    const length = this.at < this.#file.length ? this.byte() : 0;
    if (length === 0) return undefined;
    this.at += length;
    return this.#file.subarray(this.at - length, this.at);
  }

  /**
   * Reads a palette: undefined where the flags name none, false where it says no more than the indices do: 0, 0, 0, 1, 1, 1, and so
   * on.
   */
  palette(flags: number): Buffer | false | undefined {
    if ((flags & 0x80) === 0) return undefined;
    const length = 3 << ((flags & 7) + 1);
    const colors = this.#file.subarray(this.at, this.at + length);
    this.at += length;
    return colors.some((level, i) => level !== Math.floor(i / 3)) && colors;
  }
}
