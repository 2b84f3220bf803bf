import { crc32 } from "node:zlib";
import { checkNotEmpty } from "./codec.js";

const SIGNATURE_LENGTH = 8;
/** The depths of each colour type. */
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};
const INDEXED = 3;
const RGB = 2;
const GRAY = 0;

/** The fewest bytes that Pillow reads of a chunk. */
const SHORTEST: Readonly<Record<string, number>> = {
  IHDR: 13,
  gAMA: 4,
  sRGB: 1,
  pHYs: 9,
  acTL: 8,
  fcTL: 26,
  fdAT: 4,
};

export interface PngChunk {
  readonly type: string;
  readonly data: Buffer;
}

interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What a PNG file holds. */
export interface PngFile {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly color: number;
  readonly interlaced: boolean;
  /** RGB triples; fewer than the depth can name, or none. */
  readonly palette: Buffer;
  /** Where the pixels are: a part of the picture in an animation whose first frame is small. */
  readonly frame: Frame;
  /** The compressed pixels, as the chunks hold them. */
  readonly data: readonly Buffer[];
  /** The chunks around the pixels that are not checked here: text, EXIF, profiles. */
  readonly others: readonly PngChunk[];
}

/**
 * Reads a file's chunks as Pillow does: before the pixels every checksum and length must be right, behind them neither
 * checksums nor an IEND are needed.
 * @throws Error, RangeError where Pillow refuses
 */
export function readPngChunks(file: Buffer): PngFile {
  return new PngReader(file).read();
}

class PngReader {
  readonly #file: Buffer;
  #at = SIGNATURE_LENGTH;
  #header: Omit<PngFile, "palette" | "frame" | "data" | "others"> | undefined;
  #palette: Buffer = Buffer.alloc(0);
  #frame: Frame | undefined;
  #frames: number | undefined;
  #sequence: number | undefined;
  readonly #others: PngChunk[] = [];

  constructor(file: Buffer) {
    this.#file = file;
  }

  read(): PngFile {
    let chunk = this.#next();
    while (!isData(chunk.type)) {
      if (chunk.type === "IEND") throw new Error("the PNG has no pixels");
      this.#checkSum(chunk);
      this.#take(chunk);
      chunk = this.#next();
    }
    if (chunk.type === "fdAT") this.#checkSequence(chunk);
    const header = this.#header;
    if (header === undefined) throw new Error("its PNG header is missing");
    checkNotEmpty(header.width, header.height);
    const frame = this.#frame ?? { x: 0, y: 0, width: header.width, height: header.height };
    checkNotEmpty(frame.width, frame.height);
    const isDefault = this.#frames !== undefined && this.#frame === undefined;
    const animated = (this.#frames ?? 1) + (isDefault ? 1 : 0) > 1;
    const palette = this.#palette;
    if (Math.floor(palette.length / 3) > 256) throw new Error("its PNG palette has more than 256 colours");
    const data = this.#readData(chunk);
    this.#readRest(animated);
    return { ...header, palette, frame, data, others: this.#others };
  }

  /** Reads the next chunk, whose data may be cut short by the file's end. */
  #next(): PngChunk {
    const length = this.#file.readUInt32BE(this.#at);
    const type = this.#file.toString("latin1", this.#at + 4, this.#at + 8);
    if (!/^\w{4}$/.test(type)) throw new Error("it has a PNG chunk with a name that is none");
    const start = this.#at + 8;
    this.#at = start + length + 4;
    return { type, data: this.#file.subarray(start, start + length) };
  }

  /** Reads the next chunk; undefined where the file ends or what follows is no chunk. */
  #tryNext(): PngChunk | undefined {
    const name = this.#file.toString("latin1", this.#at + 4, this.#at + 8);
    return /^\w{4}$/.test(name) ? this.#next() : undefined;
  }

  #checkSum({ type, data }: PngChunk): void {
    const stored = this.#file.readUInt32BE(this.#at - 4);
    if (crc32(data, crc32(type)) !== stored) throw new Error(`its PNG chunk ${type} has a wrong checksum`);
  }

  #checkWhole({ type, data }: PngChunk): void {
    if (this.#at - 4 > this.#file.length) throw new RangeError("the file ends in a chunk");
    if (data.length < (SHORTEST[type] ?? 0)) throw new Error(`its PNG chunk ${type} is too short`);
  }

  /** Takes a chunk that is not the pixels' own. */
  #take(chunk: PngChunk): void {
    this.#checkWhole(chunk);
    const { type, data } = chunk;
    if (type === "IHDR") this.#takeHeader(data);
    else if (type === "PLTE") this.#palette = this.#header?.color === INDEXED ? data : this.#palette;
    else if (type === "tRNS") this.#checkTransparency(data);
    else if (type === "acTL") this.#takeAnimation(data);
    else if (type === "fcTL") this.#takeFrame(chunk);
    else if (type === "cHRM" && data.length % 4 !== 0) throw new Error("its PNG chunk cHRM is damaged");
    else this.#others.push(chunk);
  }

  #takeHeader(data: Buffer): void {
    const [depth, color, , filterMethod, interlace] = [...data.subarray(8, 13)];
    if (depth === undefined || color === undefined || filterMethod !== 0) {
      throw new Error("its PNG header names an unknown way to filter");
    }
    if (!DEPTHS[color]?.includes(depth)) {
      throw new Error(`its PNG header is damaged (${depth} bits per sample, colour type ${color})`);
    }
    const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
    this.#header = { width, height, depth, color, interlaced: interlace !== 0 };
  }

  /** Checks transparency: it changes no colour, but Pillow reads it. */
  #checkTransparency(data: Buffer): void {
    const color = this.#header?.color;
    const least = color === GRAY ? 2 : color === RGB ? 6 : 0;
    if (data.length < least) throw new Error("its PNG chunk tRNS is too short");
  }

  #takeAnimation(data: Buffer): void {
    const frames = data.readUInt32BE(0);
    if (this.#frames !== undefined) this.#frames = undefined;
    else if (frames >= 1 && frames <= 2 ** 31) this.#frames = frames;
  }

  #takeFrame(chunk: PngChunk): void {
    this.#checkSequence(chunk);
    const { data } = chunk;
    const [width, height, x, y] = [4, 8, 12, 16].map((at) => data.readUInt32BE(at)) as [number, number, number, number];
    if (x + width > (this.#header?.width ?? 0) || y + height > (this.#header?.height ?? 0)) {
      throw new Error("its PNG animation has a frame that reaches beyond the picture");
    }
    this.#frame = { x, y, width, height };
  }

  #checkSequence({ type, data }: PngChunk): void {
    const sequence = data.readUInt32BE(0);
    // Pixels cannot come first: the chunk that places their frame does.
    const isNext = this.#sequence === undefined ? sequence === 0 && type === "fcTL" : sequence === this.#sequence + 1;
    if (!isNext) throw new Error("its PNG animation has chunks out of order");
    this.#sequence = sequence;
  }

  /** Reads the pixels' chunks, one behind another: what interrupts them ends them. */
  #readData(first: PngChunk): Buffer[] {
    const pieces: Buffer[] = [];
    let chunk: PngChunk | undefined = first;
    let before = this.#at;
    while (chunk !== undefined && (isData(chunk.type) || chunk.type === "DDAT")) {
      if (chunk.type === "fdAT" && chunk !== first) this.#checkSequence(chunk);
      const piece = chunk.type === "fdAT" ? chunk.data.subarray(4) : chunk.data;
      if (piece.length > 0) pieces.push(piece);
      before = this.#at;
      chunk = this.#tryNext();
    }
    this.#at = before;
    return pieces;
  }

  #readRest(animated: boolean): void {
    for (let chunk = this.#tryNext(); chunk !== undefined; chunk = this.#tryNext()) {
      if (chunk.type === "IEND" || (chunk.type === "fcTL" && animated)) return;
      if (chunk.type === "fdAT") this.#checkSequence(chunk);
      if (isData(chunk.type)) this.#checkWhole(chunk);
      else this.#take(chunk);
    }
  }
}

function isData(type: string): boolean {
  return type === "IDAT" || type === "fdAT";
}
