import { itemAt } from "../../util/item-at.js";
import { openWithSharp, rawFromSharp, rgbFromSharp } from "../sharp.js";
import type { Sharp, SharpPicture } from "../sharp-types.js";
import type { DecodeContext, DecodedPixels, ImageHeader } from "./codec.js";
import { cmykToRgb } from "./colours.js";
import {
  type BlockStack,
  type DirectoryContent,
  fileOfStack,
  inPlane,
  placeStack,
  stacksOf,
  type TagValues,
} from "./tiff-copy.js";
import { type TiffMode, tiffModeOf } from "./tiff-modes.js";
import { Compression, Photometric, readTiffPage, Tag, type TiffPage } from "./tiff-page.js";
import { type TiffSamples, tiffToRgb } from "./tiff-pixels.js";

/** What a pixel may take, and a picture besides. */
const BYTES_PER_PIXEL = 16;
const SMALL_MEMORY = 2 ** 26;

/**
 * Decodes a TIFF by sharp, which is asked for samples alone: libvips knows fewer kinds than Pillow, and converts some by other
 * rules. It is given files of some of the blocks, whose directory calls the samples gray, whatever they are; what they mean is
 * then applied as Pillow does.
 */
export async function decodeTiffWithSharp(
  sharp: Sharp,
  file: Buffer,
  _header: ImageHeader,
  context: DecodeContext,
): Promise<DecodedPixels> {
  const page = readTiffPage(file);
  const mode = tiffModeOf(page);
  if (mode === undefined) throw new Error("its TIFF samples are of an unknown kind");
  const { width, height } = page;
  const stacks = stacksOf(page);
  checkMemory(file, page, itemAt(stacks, 0));
  const result = new Uint8Array(width * height * 3);
  for (const stack of stacks) {
    const reader = new StackReader(sharp, file, page, stack, context);
    placeStack(await reader.readRgb(mode), stack, 3, page, result);
  }
  return { data: result, channels: 3 };
}

/** Checks the memory that decoding takes: a block is decoded as a whole, however large it is. */
function checkMemory(file: Buffer, { width, height, bits, samples }: TiffPage, largest: BlockStack): void {
  const stored = largest.blocks.reduce((sum, { length }) => sum + length, 0);
  const decoded = largest.width * largest.height * (Math.ceil((bits * samples) / 8) + 3);
  const needed = file.length + width * height * 3 + stored + decoded;
  if (needed <= width * height * BYTES_PER_PIXEL + SMALL_MEMORY) return;
  throw new Error(
    `it is a TIFF whose strips or tiles take too much memory (${Math.ceil(needed / 2 ** 20)} MB for ${width} x ${height} pixels): ` +
      "save it in more strips, or convert it to an 8-bit RGB PNG",
  );
}

class StackReader {
  readonly #sharp: Sharp;
  readonly #file: Buffer;
  readonly #page: TiffPage;
  readonly #stack: BlockStack;
  readonly #context: DecodeContext;

  constructor(sharp: Sharp, file: Buffer, page: TiffPage, stack: BlockStack, context: DecodeContext) {
    this.#sharp = sharp;
    this.#file = file;
    this.#page = page;
    this.#stack = stack;
    this.#context = context;
  }

  async readRgb(mode: TiffMode): Promise<Uint8Array> {
    if (this.#page.compression === Compression.jpeg) return this.#readJpeg(mode);
    return tiffToRgb(
      this.#page,
      mode,
      this.#page.planar ? await this.#readPlanes(mode) : await this.#read(),
      this.#context,
    );
  }

  /** Reads JPEG data, which the libraries that Pillow uses convert to RGB. */
  async #readJpeg(mode: TiffMode): Promise<Uint8Array> {
    const { directory, photometric, samples } = this.#page;
    const tables = directory.entry(Tag.jpegTables)?.data;
    const picture = this.#open(this.#stack, {
      tags: [
        ...this.#tags(8, samples, photometric),
        ...(tables ? ([[Tag.jpegTables, tables]] as const) : []),
        ...this.#copied(Tag.yCbCrSubsampling),
      ],
    });
    if (mode !== "CMYK") return (await rgbFromSharp(picture, this.#stack)).data;
    const cmyk = picture.pipelineColourspace("cmyk").toColourspace("cmyk").raw();
    return cmykToRgb(await rawFromSharp(cmyk, this.#stack, 4));
  }

  /** Reads the samples of pixels whose samples stand side by side, or of one plane. */
  async #read(stack = this.#stack): Promise<TiffSamples> {
    const { bits, predictor, planar, directory } = this.#page;
    const samples = planar ? 1 : this.#page.samples;
    if (bits < 8) return this.#gray(stack, { tags: this.#tags(bits, 1) }, "uchar", 1);
    if (predictor === 1) {
      // Bytes, as if they were pixels: no meaning of theirs can get in the way.
      const bytes = (samples * bits) / 8;
      const read = await this.#gray(stack, { widthFactor: bytes, tags: this.#tags(8, 1) }, "uchar", bytes);
      return { ...read, littleEndian: directory.littleEndian };
    }
    // Differences are between samples, so that libtiff must know how many there are of what size.
    const bytes = bits / 8;
    if (samples >= 3) {
      let picture = this.#open(stack, {
        tags: [...this.#tags(bits, samples, Photometric.rgb), [Tag.predictor, [predictor]]],
      });
      if (bits === 16) picture = picture.pipelineColourspace("rgb16").toColourspace("rgb16");
      const raw = picture.raw({ depth: bits === 16 ? "ushort" : "uchar" });
      return { data: await rawFromSharp(raw, stack, samples), bytes: samples * bytes, littleEndian: true };
    }
    const float = this.#page.sampleFormat === 3;
    const tags = [...this.#tags(bits, samples), [Tag.predictor, [predictor]] as const];
    if (float) tags.push([Tag.sampleFormat, [3]]);
    if (samples === 2) tags.push([Tag.extraSamples, [2]]);
    return this.#gray(stack, { tags }, bits === 8 ? "uchar" : bits === 16 ? "ushort" : float ? "float" : "uint", bytes);
  }

  /** Reads the samples of separate planes, side by side: those that a mode looks at. */
  async #readPlanes(mode: TiffMode): Promise<TiffSamples> {
    const { samples } = this.#page;
    const needed = mode === "CMYK" || mode === "associated alpha" ? 4 : mode === "RGB" || mode === "YCbCr" ? 3 : 1;
    const planes = Math.min(needed, samples);
    const size = this.#page.bits / 8;
    const data = new Uint8Array(this.#stack.width * this.#stack.height * planes * size);
    let littleEndian = true;
    for (let plane = 0; plane < planes; plane++) {
      const read = await this.#read(inPlane(this.#stack, plane, this.#page));
      littleEndian = read.littleEndian;
      for (let i = 0, from = 0; from < read.data.length; i++) {
        for (let k = 0; k < size; k++) data[(i * planes + plane) * size + k] = read.data[from++] ?? 0;
      }
    }
    return { data, bytes: planes * size, littleEndian };
  }

  /** Reads samples as gray. @param bytes of each of the page's pixels */
  async #gray(
    stack: BlockStack,
    content: DirectoryContent,
    depth: "uchar" | "ushort" | "uint" | "float",
    bytes: number,
  ): Promise<TiffSamples> {
    const space = depth === "ushort" ? "grey16" : "b-w";
    const picture = this.#open(stack, content).pipelineColourspace(space).toColourspace(space).raw({ depth });
    const size = { width: stack.width * (content.widthFactor ?? 1), height: stack.height };
    return { data: await rawFromSharp(picture, size, 1), bytes, littleEndian: true };
  }

  #open(stack: BlockStack, content: DirectoryContent): SharpPicture {
    // The declared size has been held to its limit; tiles reach beyond it, and bytes are more than pixels.
    const maxPixels = stack.width * stack.height * (content.widthFactor ?? 1);
    const copy = fileOfStack(this.#file, this.#page, stack, content);
    return openWithSharp(this.#sharp, copy, "error", { ...this.#context, maxPixels });
  }

  #tags(
    bits: number,
    samples: number,
    photometric: number = Photometric.blackIsZero,
  ): (readonly [number, TagValues])[] {
    const { compression, fillOrder } = this.#page;
    return [
      [Tag.bitsPerSample, Array.from({ length: samples }, () => bits)],
      [Tag.compression, [compression]],
      [Tag.photometric, [photometric]],
      [Tag.fillOrder, [fillOrder]],
      [Tag.samplesPerPixel, [samples]],
      [Tag.planarConfiguration, [1]],
      ...this.#copied(Tag.t4Options),
      ...this.#copied(Tag.t6Options),
    ];
  }

  #copied(tag: number): (readonly [number, TagValues])[] {
    const values = this.#page.directory.values(tag);
    return values.length > 0 ? [[tag, values]] : [];
  }
}
