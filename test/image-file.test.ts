import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BlipImageProcessor, type ImageSource, loadImage } from "neuron-blip";
import { readPictureFile } from "../dist/processing/picture-file.js";
import { fails, fixture } from "./helpers.ts";

const path = join(fixture("pictures"), "chelsea.png");
const file = readFileSync(path);
const digest = createHash("sha256").update(file).digest("hex");

describe("readPictureFile", () => {
  it("digests the content, wherever it comes from", async () => {
    const buffer = new Uint8Array(file).buffer;
    for (const source of [
      path,
      pathToFileURL(path),
      file,
      buffer,
      Buffer.concat([Buffer.alloc(3), file]).subarray(3),
    ]) {
      const read = await readPictureFile(source);
      assert.equal(read?.digest, digest);
      assert.deepEqual(Buffer.from(read?.bytes as Uint8Array), file);
    }
    assert.notEqual((await readPictureFile(file.subarray(0, -1)))?.digest, digest);
    const large = Buffer.alloc(2 ** 21 + 5, "neuron");
    assert.equal((await readPictureFile(large))?.digest, createHash("sha256").update(large).digest("hex"));
  });

  it("copies the caller's bytes before it returns", async () => {
    const bytes = new Uint8Array(file);
    const reading = readPictureFile(bytes);
    bytes.fill(0);
    assert.equal((await reading)?.digest, digest);
  });

  it("gives bytes that are loaded as the picture they were read from, and go with it", async () => {
    const read = await readPictureFile(path);
    assert(read);
    assert.equal((await loadImage(read.bytes)).width, 451);
    assert.equal(read.bytes.length, 0);
    const text = join(fixture("pictures"), "..", "image-goldens.json");
    const noPicture = await readPictureFile(text);
    assert(noPicture);
    await assert.rejects(loadImage(noPicture.bytes), fails("INVALID_IMAGE", /image-goldens\.json" cannot be decoded/));
  });

  it("leaves to loading what is no file, or cannot be read", async () => {
    const pixels = { data: new Uint8Array(12), width: 2, height: 2 };
    for (const source of [pixels, "no/such/file.png", "https://example.com/a.png", fixture("pictures"), null, 5]) {
      assert.equal(await readPictureFile(source as ImageSource), undefined);
    }
  });
});

describe("BlipImageProcessor.preprocess of many pictures", () => {
  const processor = new BlipImageProcessor({ size: { width: 8, height: 8 } });
  const names = [
    "rgb.png",
    "gray.png",
    "palette.gif",
    "rgb.bmp",
    "lzw.tiff",
    "rgba.png",
    "gap.bmp",
    "orientation-6.jpg",
  ];
  const pictures = names.map((name) => join(fixture("pictures"), name));

  it("keeps their order", async () => {
    const all = await processor.preprocess(pictures);
    assert.deepEqual(all.shape, [names.length, 3, 8, 8]);
    for (const [i, picture] of pictures.entries()) {
      const one = await processor.preprocess(picture);
      assert.deepEqual(all.data.slice(i * one.size, (i + 1) * one.size), one.data.slice(), names[i]);
    }
  });

  it("fails with the error of the first that fails", async () => {
    const some = [...pictures, "first.png", Buffer.from("second"), ...pictures];
    for (let i = 0; i < 5; i++) {
      await assert.rejects(processor.preprocess(some), fails("INVALID_IMAGE", /"first\.png".*no such file/));
    }
  });
});
