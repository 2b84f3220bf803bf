import assert from "node:assert/strict";
import { crc32, deflateSync } from "node:zlib";
import { loadImage } from "neuron-blip";
import sharp from "sharp";
import { fails } from "../helpers.ts";
import { manyGroupsWebp } from "./hostile-pictures.ts";

function chunk(type: string, data: Buffer): Buffer {
  const whole = Buffer.alloc(data.length + 12);
  whole.writeUInt32BE(data.length, 0);
  whole.write(type, 4, "latin1");
  data.copy(whole, 8);
  whole.writeUInt32BE(crc32(whole.subarray(4, 8 + data.length)), 8 + data.length);
  return whole;
}

/** A greyscale PNG with compressed rows as they are given. */
function grayPng(width: number, height: number, depth: number, rows: Buffer, ...before: Buffer[]): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, depth, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const end = chunk("IEND", Buffer.alloc(0));
  return Buffer.concat([signature, chunk("IHDR", header), ...before, chunk("IDAT", rows), end]);
}

/** A GIF with one frame, whose codes are as they are given. */
function gif(width: number, height: number, codes: number[]): Buffer {
  const size = [width & 255, width >> 8, height & 255, height >> 8];
  const start = [...Buffer.from("GIF89a", "latin1"), ...size, 0x80, 0, 0, 0, 0, 0, 255, 255, 255];
  return Buffer.from([...start, 0x2c, 0, 0, 0, 0, ...size, 0, 2, codes.length, ...codes, 0, 0x3b]);
}

describe("A picture that is made to cost more than it looks", () => {
  it("has black rows where a 16-bit PNG of 45 megapixels holds three", async () => {
    const file = grayPng(9000, 5000, 16, deflateSync(Buffer.alloc(3 * (1 + 2 * 9000))));
    assert(file.length < 3000);
    const { width, height, channels, data } = await loadImage(file, { decoder: "sharp" });
    assert.deepEqual([width, height, data.length], [9000, 5000, 9000 * 5000 * channels]);
    assert(Buffer.from(data).equals(Buffer.alloc(data.length)));
    await assert.rejects(
      loadImage(file, { decoder: "jimp" }),
      fails("INVALID_IMAGE", /9000 x 5000.*npm install sharp/),
    );
  });

  it("is refused where a PNG's compressed pixels are many times as long as its pixels", async () => {
    const file = grayPng(1, 1, 8, Buffer.concat([deflateSync(Buffer.alloc(2)), Buffer.alloc(6_000_000)]));
    for (const decoder of ["sharp", "jimp"] as const) {
      await assert.rejects(loadImage(file, { decoder }), fails("INVALID_IMAGE", /about 6 times as long/));
    }
  });

  it("is refused where a lossless WebP of 4096 pixels has 65,536 groups of Huffman codes", async () => {
    await assert.rejects(
      loadImage(manyGroupsWebp(), { decoder: "sharp" }),
      fails("INVALID_IMAGE", /about 50 times as long/),
    );
  });

  it("is refused where an AVIF of many pixels is not subsampled, which would take more than 16 bytes for each", async () => {
    for (const [subsampling, size, says] of [
      ["4:4:4", 4700, /AVIF of so many pixels.*takes too much memory/],
      ["4:4:4", 4500, /AVIF data/],
      ["4:2:0", 4700, /AVIF data/],
    ] as const) {
      const create = { width: 16, height: 16, channels: 3 as const, background: "red" };
      const file = await sharp({ create }).avif({ chromaSubsampling: subsampling }).toBuffer();
      // It says that it is larger than it is.
      const at = file.indexOf("ispe") + 8;
      file.writeUInt32BE(size, at);
      file.writeUInt32BE(size, at + 4);
      await assert.rejects(loadImage(file, { decoder: "sharp" }), fails("INVALID_IMAGE", says));
    }
  });

  it("is refused where a PNG's texts inflate to more than Pillow allows, damaged or not", async () => {
    const pixels = deflateSync(Buffer.alloc(2));
    const megabyte = deflateSync(Buffer.alloc(1_000_000), { level: 9 });
    const text = (data: Buffer) => chunk("zTXt", Buffer.concat([Buffer.from("a\0\0", "latin1"), data]));
    const one = grayPng(1, 1, 8, pixels, text(deflateSync(Buffer.alloc(2 ** 20 + 1))));
    await assert.rejects(loadImage(one), fails("INVALID_IMAGE", /more than 1 MB/));
    const damaged = Buffer.concat([megabyte.subarray(0, -5), Buffer.alloc(5, 0x55)]);
    for (const data of [megabyte, damaged]) {
      const many = grayPng(1, 1, 8, pixels, ...Array.from({ length: 1000 }, () => text(data)));
      await assert.rejects(loadImage(many), fails("INVALID_IMAGE", /more than 64 MB/));
    }
    assert.equal((await loadImage(grayPng(1, 1, 8, pixels, text(damaged)))).width, 1);
  });

  it("is read where a PNG's pixels are in 100,000 chunks", async () => {
    const pieces = (count: number, data: Buffer) => Array.from({ length: count }, () => chunk("IDAT", data));
    const rows = deflateSync(Buffer.alloc(300 * 301, 0), { level: 0 });
    const bytes = [...rows].map((byte) => chunk("IDAT", Buffer.from([byte])));
    const file = grayPng(300, 300, 8, Buffer.alloc(0), ...pieces(10_000, Buffer.alloc(0)), ...bytes);
    for (const decoder of ["sharp", "jimp"] as const) {
      assert.equal((await loadImage(file, { decoder })).width, 300);
    }
  });

  it("ends at once where a GIF's codes name themselves, or only clear the table", async () => {
    for (const codes of [
      [0xb4, 0x6d, 0xdb, 0xb6],
      [0x24, 0x49, 0x92, 0x24],
    ]) {
      await assert.rejects(loadImage(gif(5000, 5000, codes)), fails("INVALID_IMAGE", /GIF/));
    }
    await assert.rejects(loadImage(gif(65_535, 65_535, [0x44])), fails("IMAGE_TOO_LARGE", /65535 x 65535/));
  });
});
