import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { BlipImageProcessor, type ImageSource, loadImage } from "neuron-blip";
import { sha256 } from "../../dist/images/image-encoder.js";
import { openPicture, sourceSettings } from "../../dist/images/open-picture.js";
import { asSource } from "../../dist/images/picture-file.js";
import { fails, fixture } from "../helpers.ts";

const path = join(fixture("pictures"), "chelsea.png");
const file = readFileSync(path);
const digest = createHash("sha256").update(file).digest("hex");

describe("openPicture", () => {
  const open = async (source: ImageSource) => {
    const opened = await openPicture(source, sourceSettings({}));
    assert("bytes" in opened);
    return opened;
  };

  it("reads the same content, wherever it comes from, into memory of its own", async () => {
    const buffer = new Uint8Array(file).buffer;
    for (const source of [
      path,
      pathToFileURL(path),
      file,
      buffer,
      Buffer.concat([Buffer.alloc(3), file]).subarray(3),
    ]) {
      const { bytes } = await open(source);
      assert.equal(await sha256(bytes), digest);
      assert.notEqual(bytes.buffer, file.buffer);
    }
    assert.notEqual(await sha256((await open(file.subarray(0, -1))).bytes), digest);
    const large = Buffer.alloc(2 ** 21 + 5, "neuron");
    assert.equal(await sha256(large), createHash("sha256").update(large).digest("hex"));
  });

  it("copies the caller's bytes before it returns", async () => {
    const bytes = new Uint8Array(file);
    const opening = open(bytes);
    bytes.fill(0);
    assert.equal(await sha256((await opening).bytes), digest);
  });

  it("gives bytes that are loaded as the picture they were read from, and go with it", async () => {
    const source = asSource(await open(path));
    assert.equal((await loadImage(source)).width, 451);
    assert.equal(source.length, 0);
    const text = join(fixture("pictures"), "..", "image-goldens.json");
    const noPicture = asSource(await open(text));
    await assert.rejects(loadImage(noPicture), fails("INVALID_IMAGE", /image-goldens\.json" cannot be decoded/));
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
