import { Tag, type TiffBlock, type TiffPage } from "./tiff-page.js";

const SHORT = 3;
const LONG = 4;
const ENTRY_SIZE = 12;

/** A tag's values, or its bytes as they are. */
export type TagValues = readonly number[] | Buffer;

/** Some of a page's blocks, one below the other: a picture of its own. */
export interface BlockStack {
  /** The first one's number, in its plane. */
  readonly first: number;
  readonly blocks: readonly TiffBlock[];
  readonly width: number;
  readonly height: number;
}

/** Stacks of so many bytes of samples, or of one block. */
const STACK_BYTES = 2 ** 23;

/** Returns all blocks of a page, of its first plane if it has planes, in stacks that take little memory each. */
export function stacksOf(page: TiffPage): BlockStack[] {
  const { tiled, width, height, blockWidth, blockHeight, blocksPerPlane, bits, samples } = page;
  const blockBytes = Math.ceil((blockWidth * bits * samples) / 8) * blockHeight;
  const count = Math.max(1, Math.floor(STACK_BYTES / blockBytes));
  const stacks: BlockStack[] = [];
  for (let first = 0; first < blocksPerPlane; first += count) {
    const blocks = page.blocks.slice(first, Math.min(first + count, blocksPerPlane));
    const rows = blocks.length * blockHeight;
    stacks.push({
      first,
      blocks,
      width: tiled ? blockWidth : width,
      height: tiled ? rows : Math.min(rows, height - first * blockHeight),
    });
  }
  return stacks;
}

/** Returns the same blocks of another plane. */
export function inPlane(stack: BlockStack, plane: number, page: TiffPage): BlockStack {
  const start = plane * page.blocksPerPlane + stack.first;
  return { ...stack, blocks: page.blocks.slice(start, start + stack.blocks.length) };
}

/** Puts a stack's pixels into their places in the page's. */
export function placeStack(
  pixels: Uint8Array,
  { first, blocks, width: stackWidth, height: stackHeight }: BlockStack,
  channels: number,
  page: TiffPage,
  result: Uint8Array,
): void {
  const { tiled, width, height, blockHeight } = page;
  if (!tiled) {
    result.set(pixels, first * blockHeight * width * channels);
    return;
  }
  const across = Math.ceil(width / stackWidth);
  for (let row = 0; row < stackHeight; row++) {
    const tile = first + Math.floor(row / blockHeight);
    const y = Math.floor(tile / across) * blockHeight + (row % blockHeight);
    if (y >= height || tile >= first + blocks.length) continue;
    const x = (tile % across) * stackWidth;
    const from = row * stackWidth * channels;
    const length = Math.min(stackWidth, width - x) * channels;
    result.set(pixels.subarray(from, from + length), (y * width + x) * channels);
  }
}

/** What is to stand in a directory, besides where its pixels are. */
export interface DirectoryContent {
  /** The samples in a pixel's place: a picture of bytes is wider than one of pixels. */
  readonly widthFactor?: number;
  readonly tags: readonly (readonly [tag: number, values: TagValues])[];
}

/** Makes a TIFF file of a stack alone. It has strips always: libvips says nothing of damaged tiles. */
export function fileOfStack(file: Buffer, page: TiffPage, stack: BlockStack, content: DirectoryContent): Buffer {
  const { littleEndian } = page.directory;
  const { widthFactor = 1, tags } = content;
  const { blocks, width, height } = stack;
  const pixels: Buffer[] = [];
  const offsets: number[] = [];
  let start = 8;
  for (const { offset, length } of blocks) {
    offsets.push(start);
    pixels.push(file.subarray(offset, offset + length));
    start += length;
  }
  if (start % 2 === 1) {
    pixels.push(Buffer.alloc(1));
    start++;
  }
  const entries: (readonly [tag: number, values: TagValues])[] = [
    [Tag.width, [width * widthFactor]],
    [Tag.height, [height]],
    [Tag.rowsPerStrip, [page.blockHeight]],
    [Tag.stripOffsets, offsets],
    [Tag.stripByteCounts, blocks.map(({ length }) => length)],
    ...tags,
  ];
  entries.sort(([a], [b]) => a - b);

  const directory = Buffer.alloc(2 + ENTRY_SIZE * entries.length + 4); // ends with 0: no next directory
  const write16 = (data: Buffer, value: number, at: number) =>
    littleEndian ? data.writeUInt16LE(value, at) : data.writeUInt16BE(value, at);
  const write32 = (data: Buffer, value: number, at: number) =>
    littleEndian ? data.writeUInt32LE(value, at) : data.writeUInt32BE(value, at);
  const behind: Buffer[] = [];
  let end = start + directory.length;
  write16(directory, entries.length, 0);
  entries.forEach(([tag, values], i) => {
    const at = 2 + ENTRY_SIZE * i;
    const short = !Buffer.isBuffer(values) && values.every((value) => value < 2 ** 16) && !isLong(tag);
    const bytes = Buffer.isBuffer(values) ? values : Buffer.alloc(values.length * (short ? 2 : 4));
    if (!Buffer.isBuffer(values)) {
      for (const [k, value] of values.entries()) short ? write16(bytes, value, 2 * k) : write32(bytes, value, 4 * k);
    }
    write16(directory, tag, at);
    write16(directory, Buffer.isBuffer(values) ? 7 : short ? SHORT : LONG, at + 2);
    write32(directory, values.length, at + 4);
    if (bytes.length <= 4) {
      bytes.copy(directory, at + 8);
      return;
    }
    write32(directory, end, at + 8);
    const padded = Buffer.concat([bytes, Buffer.alloc(bytes.length % 2)]);
    behind.push(padded);
    end += padded.length;
  });
  const header = Buffer.from(littleEndian ? "II*\0\0\0\0\0" : "MM\0*\0\0\0\0", "latin1");
  write32(header, start, 4);
  return Buffer.concat([header, ...pixels, directory, ...behind]);
}

/** Says whether libraries expect a tag as 32 bits. */
function isLong(tag: number): boolean {
  return tag === Tag.stripOffsets || tag === Tag.stripByteCounts;
}
