import { checkNotEmpty, type ImageCodec, type ImageHeader } from "./codec.js";

/** GIF: the first frame. */
export const gif: ImageCodec = { readHeader, decode };

interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Where the colours are: RGB triples. */
  readonly palette: Buffer;
  /** Where the transparency flag is, if the frame has a control block. */
  readonly control: number | undefined;
  readonly transparentIndex: number | undefined;
}

function readHeader(file: Buffer): ImageHeader {
  const width = file.readUInt16LE(6);
  const height = file.readUInt16LE(8);
  checkNotEmpty(width, height);
  const frame = readFirstFrame(file);
  checkNotEmpty(frame.width, frame.height);
  if (frame.x + frame.width > width || frame.y + frame.height > height) {
    throw new Error("its first GIF frame reaches beyond the picture");
  }
  return { width, height, orientation: 1 };
}

async function decode(file: Buffer, { width, height }: ImageHeader): Promise<Uint8Array> {
  const { default: jimpGif } = await import("@jimp/js-gif");
  const frame = readFirstFrame(file);
  // Pixels of the transparent colour keep their colour, as under Pillow's convert("RGB"): the decoder would leave them black.
  if (frame.control !== undefined) file.writeUInt8(file.readUInt8(frame.control) & ~1, frame.control);
  const { data } = jimpGif().decode(file);
  const background = (frame.transparentIndex ?? 0) * 3;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      if (data[at + 3] !== 0) continue; // written by the decoder
      const inside = x >= frame.x && x < frame.x + frame.width && y >= frame.y && y < frame.y + frame.height;
      if (inside) throw new Error("its GIF data ends too early");
      // Around a frame that does not cover the picture Pillow shows the transparent colour, or the first one.
      for (let c = 0; c < 3; c++) data[at + c] = frame.palette[background + c] ?? 0;
      data[at + 3] = 255;
    }
  }
  return data;
}

function readFirstFrame(file: Buffer): Frame {
  let offset = 13;
  let palette = Buffer.alloc(0);
  const readPalette = (flags: number) => {
    if ((flags & 0x80) === 0) return;
    const length = 3 * 2 ** ((flags & 7) + 1);
    palette = Buffer.from(file.subarray(offset, offset + length));
    offset += length;
  };
  readPalette(file.readUInt8(10));
  let control: number | undefined;
  let transparentIndex: number | undefined;
  for (;;) {
    const block = file.readUInt8(offset++);
    if (block === 0x2c) {
      const [x, y, width, height] = [0, 2, 4, 6].map((at) => file.readUInt16LE(offset + at)) as [
        number,
        number,
        number,
        number,
      ];
      offset += 9;
      readPalette(file.readUInt8(offset - 1));
      return { x, y, width, height, palette, control, transparentIndex };
    }
    if (block === 0x21) {
      const label = file.readUInt8(offset++);
      if (label === 0xf9 && file.readUInt8(offset) === 4) {
        control = offset + 1;
        transparentIndex = file.readUInt8(control) & 1 ? file.readUInt8(offset + 4) : undefined;
      }
      for (let size = file.readUInt8(offset++); size !== 0; size = file.readUInt8(offset++)) offset += size;
    } else if (block === 0x3b) {
      throw new Error("the GIF has no frame");
    } else if (block !== 0) {
      throw new Error("its GIF header is damaged");
    }
  }
}
