import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { deflateSync } from "node:zlib";
import { Jimp } from "jimp";
import {
  BertTokenizer,
  BlipImageProcessor,
  BlipProcessor,
  type ImageSource,
  loadImage,
  type RawImage,
} from "neuron-blip";
import { fails, fixture } from "../helpers.ts";
import { computedPixels, resize, rgbOf, type Size, sha256 } from "../images/pixels.ts";
import { makeTokenizerJson } from "./bert-vocabulary.ts";

interface Goldens {
  resized: { picture: string; size: Size; sha256: string }[];
  small: { source: Size; target: Size; pixels: number[] }[];
  pixelValues: { picture: string; size: number; sha256: string }[];
  decoded: Record<string, { width: number; height: number; sha256: string }>;
  jpeg: Record<string, { width: number; height: number; thumbnail: number[] }>;
}

const DECODERS = ["sharp", "jimp"] as const;

const goldens: Goldens = JSON.parse(readFileSync(fixture("image-goldens.json"), "utf8"));
const picture = (name: string) => join(fixture("pictures"), name);
const root = fileURLToPath(new URL("../..", import.meta.url));

/** A grayscale PNG of zeros. */
function blackPng(width: number, height: number, rows = deflateSync(Buffer.alloc((width + 1) * height))): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const whole = Buffer.alloc(data.length + 12);
    whole.writeUInt32BE(data.length, 0);
    whole.write(type, 4, "latin1");
    data.copy(whole, 8);
    whole.writeUInt32BE(checksum(whole.subarray(4, 8 + data.length)), 8 + data.length);
    return whole;
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

/** The checksum of a PNG's chunks. */
function checksum(data: Buffer): number {
  let sum = 0xffffffff;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

describe("BlipImageProcessor", () => {
  it("resizes photographs as Pillow does, on every pixel", async () => {
    assert(goldens.resized.length >= 30);
    for (const { picture: name, size, sha256: expected } of goldens.resized) {
      assert.equal(sha256(await resize(picture(name), size)), expected, `${name} to ${size}`);
    }
  });

  it("resizes tiny, narrow and very tall pictures as Pillow does", async () => {
    for (const { source, target, pixels } of goldens.small) {
      assert.deepEqual([...(await resize(computedPixels(source), target))], pixels, `${source} to ${target}`);
    }
  });

  it("ignores alpha", async () => {
    const { data, width, height } = computedPixels([40, 30]);
    const rgba = new Uint8Array(width * height * 4);
    for (let i = 0; i < width * height; i++) {
      rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
      rgba[4 * i + 3] = (i * 37) % 256;
    }
    const expected = await resize({ data, width, height }, [17, 19]);
    assert.deepEqual(await resize({ data: rgba, width, height, channels: 4 }, [17, 19]), expected);
  });

  it("computes the pixel values of transformers, bit for bit", async () => {
    for (const { picture: name, size, sha256: expected } of goldens.pixelValues) {
      const processor = new BlipImageProcessor({ size: { width: size, height: size } });
      const pixelValues = await processor.preprocess(picture(name));
      assert.deepEqual(pixelValues.shape, [1, 3, size, size]);
      assert.equal(sha256(pixelValues.data), expected, `${name} to ${size}`);
    }
  });

  it("prepares several pictures at once", async () => {
    const processor = new BlipImageProcessor({ size: { width: 8, height: 6 } });
    const names = ["chelsea.png", "coffee.png"];
    const both = await processor.preprocess(names.map(picture));
    assert.deepEqual(both.shape, [2, 3, 6, 8]);
    for (const [i, name] of names.entries()) {
      const one = await processor.preprocess(picture(name));
      assert.deepEqual(both.data.slice(i * one.size, (i + 1) * one.size), one.data.slice());
    }
    assert.notDeepEqual(both.data.slice(0, 144), both.data.slice(144));
    await assert.rejects(processor.preprocess([]), fails("INVALID_INPUT"));
  });

  it("follows the flags of its configuration", async () => {
    const source = computedPixels([2, 1]);
    const size = { width: 2, height: 1 };
    const values = async (config: object) => [
      ...(await new BlipImageProcessor({ size, ...config }).preprocess(source)).data,
    ];
    const bytes = [0, 31, 101, 132, 202, 233];
    assert.deepEqual(await values({ doRescale: false, doNormalize: false }), bytes);
    assert.deepEqual(
      await values({ doNormalize: false }),
      bytes.map((byte) => Math.fround(byte / 255)),
    );
    const unit = { imageMean: [0, 0, 1], imageStd: [1, 2, 1] };
    assert.deepEqual(await values({ doRescale: false, ...unit }), [0, 31, 50.5, 66, 201, 232]);
    assert.deepEqual(await values({ doResize: false, doRescale: false, doNormalize: false }), bytes);
    const strict = new BlipImageProcessor({ size: { width: 9, height: 9 }, doResize: false });
    await assert.rejects(strict.preprocess(source), fails("INVALID_INPUT", /2 x 1 pixels, not 9 x 9/));
  });

  it("takes the default for what is undefined", () => {
    const config = { doNormalize: undefined, size: undefined, imageStd: undefined, doRescale: false };
    const processor = new BlipImageProcessor(config as object);
    assert.deepEqual(processor.config, { ...new BlipImageProcessor().config, doRescale: false });
  });

  it("refuses pixels whose buffer is transferred before they are read", async () => {
    for (const [width, height] of [
      [2, 1],
      [9, 9],
    ] as Size[]) {
      const source = computedPixels([2, 1]);
      const processing = new BlipImageProcessor({ size: { width, height } }).preprocess(source);
      structuredClone(source.data.buffer, { transfer: [source.data.buffer as ArrayBuffer] });
      await assert.rejects(processing, fails("INVALID_INPUT"), `to ${width} x ${height}`);
    }
  });

  it("refuses settings that it does not support", () => {
    assert.throws(() => new BlipImageProcessor({ resample: 2 }), fails("INVALID_INPUT", /resample must be 3/));
    assert.throws(() => new BlipImageProcessor({ imageStd: [1, 0, 1] }), fails("INVALID_INPUT", /image_std/));
    assert.throws(() => new BlipImageProcessor({ size: { width: 0, height: 4 } }), fails("INVALID_INPUT", /size/));
  });

  describe("fromPretrained", () => {
    let directory: string;
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), "neuron-blip-processor-"));
    });
    afterEach(() => rm(directory, { recursive: true }));
    const write = (name: string, value: unknown) => writeFile(join(directory, name), JSON.stringify(value));

    it("reads preprocessor_config.json", async () => {
      await write("preprocessor_config.json", {
        do_normalize: false,
        do_resize: true,
        image_processor_type: "BlipImageProcessor",
        resample: 3,
        rescale_factor: 0.5,
        size: { height: 5, width: 7 },
      });
      const { config } = await BlipImageProcessor.fromPretrained(directory);
      assert.deepEqual(config.size, { height: 5, width: 7 });
      assert.deepEqual([config.doNormalize, config.doRescale, config.rescaleFactor], [false, true, 0.5]);
      assert.deepEqual(config.imageMean, [0.48145466, 0.4578275, 0.40821073]);
    });

    it("falls back to config.json's size, then to BLIP's", async () => {
      assert.deepEqual((await BlipImageProcessor.fromPretrained(directory)).config.size, { height: 384, width: 384 });
      await write("config.json", { vision_config: { image_size: 96 } });
      assert.deepEqual((await BlipImageProcessor.fromPretrained(directory)).config.size, { height: 96, width: 96 });
    });

    it("says which file asks for what is not supported", async () => {
      await write("preprocessor_config.json", { resample: 2 });
      await assert.rejects(
        BlipImageProcessor.fromPretrained(directory),
        fails("ARTIFACT_MISMATCH", /preprocessor_config\.json.*resample must be 3/),
      );
      await write("preprocessor_config.json", { size: { shortest_edge: 224 } });
      await assert.rejects(BlipImageProcessor.fromPretrained(directory), fails("ARTIFACT_MISMATCH", /size must be/));
    });
  });
});

describe("BlipProcessor.processImages", () => {
  it("keeps to the processor's limit of pixels unless it is given another", async () => {
    const tokenizer = new BertTokenizer(makeTokenizerJson());
    const processor = new BlipProcessor(new BlipImageProcessor(), tokenizer, 45 * 33 - 1);
    const process = (options?: object) => processor.processImages(picture("rgb.png"), options);
    await assert.rejects(process(), fails("IMAGE_TOO_LARGE"));
    await assert.rejects(process({ maxPixels: undefined }), fails("IMAGE_TOO_LARGE", /limit of 1484/));
    assert.deepEqual((await process({ maxPixels: 45 * 33 })).shape, [1, 3, 384, 384]);
  });
});

describe("loadImage", () => {
  it("decodes lossless formats to Pillow's pixels, turned by their EXIF orientation", async () => {
    const names = Object.keys(goldens.decoded);
    assert(names.length >= 35);
    for (const decoder of DECODERS) {
      for (const name of names) {
        const image = await loadImage(picture(name), { decoder });
        const {
          width,
          height,
          sha256: expected,
        } = goldens.decoded[name] as { width: number; height: number; sha256: string };
        assert.deepEqual([image.width, image.height], [width, height], name);
        assert.equal(sha256(rgbOf(image)), expected, `${name} by ${decoder}`);
      }
    }
  });

  it("decodes JPEG close to Pillow without sharp, turned once", async () => {
    for (const [name, { width, height, thumbnail }] of Object.entries(goldens.jpeg)) {
      if (name === "cmyk.jpg") {
        await assert.rejects(
          loadImage(picture(name), { decoder: "jimp" }),
          fails("INVALID_IMAGE", /npm install sharp/),
        );
        continue;
      }
      const image = await loadImage(picture(name), { decoder: "jimp" });
      assert.deepEqual([image.width, image.height], [width, height], name);
      const ours = await resize(image, [12, 12]);
      const difference = Math.max(...thumbnail.map((value, i) => Math.abs(value - (ours[i] as number))));
      assert(difference <= 2, `${name}: ${difference}`);
    }
  });

  it("takes a path, a URL, bytes, a Jimp image and pixels", async () => {
    const path = picture("rgba.png");
    const expected = rgbOf(await loadImage(path));
    const file = readFileSync(path);
    const jimp = await Jimp.read(path);
    const { data, width, height } = jimp.bitmap;
    const sources: ImageSource[] = [
      pathToFileURL(path),
      file,
      new Uint8Array(file),
      new Uint8Array(file).buffer,
      Buffer.concat([Buffer.alloc(3), file]).subarray(3),
      jimp,
      { data, width, height, channels: 4 },
      { data: new Uint8ClampedArray(data), width, height },
      { data: expected, width, height, channels: 3 },
      { data: expected, width, height },
    ];
    for (const [i, source] of sources.entries()) {
      assert.deepEqual(rgbOf(await loadImage(source)), expected, `source ${i}`);
    }
    assert.equal(file.length, readFileSync(path).length, "the caller's buffer is left alone");
  });

  it("copies the caller's bytes before it returns", async () => {
    const file = new Uint8Array(readFileSync(picture("rgb.png")));
    const expected = rgbOf(await loadImage(file));
    const loading = loadImage(file);
    structuredClone(file.buffer, { transfer: [file.buffer] });
    assert.equal(file.length, 0);
    assert.deepEqual(rgbOf(await loading), expected);
  });

  it("decodes many at once", async () => {
    const names = Object.keys(goldens.decoded);
    const images = await Promise.all(names.map((name) => loadImage(picture(name))));
    for (const [i, name] of names.entries()) {
      assert.equal(sha256(rgbOf(images[i] as RawImage)), goldens.decoded[name]?.sha256, name);
    }
  });

  it("decodes very large pictures, too, up to the limit that it is given", async () => {
    const huge = blackPng(6000, 6000);
    const images = await Promise.all([loadImage(huge), loadImage(huge), loadImage(picture("rgb.png"))]);
    assert.deepEqual(
      images.map(({ width, height }) => width * height),
      [36_000_000, 36_000_000, 45 * 33],
    );
    await assert.rejects(
      loadImage(huge, { maxPixels: 35_000_000 }),
      fails("IMAGE_TOO_LARGE", /6000 x 6000 = 36000000 pixels, more than the limit of 35000000/),
    );
  });

  it("leaves the event loop free while it decodes", async () => {
    let turns = 0;
    let loading = true;
    const count = () => {
      turns++;
      if (loading) setImmediate(count);
    };
    const big = blackPng(3000, 2000);
    count();
    const image = await loadImage(big);
    loading = false;
    assert.equal(image.width, 3000);
    assert(turns >= 10, `the event loop turned ${turns} times`);
  });

  describe("with a picture that cannot be read", () => {
    // After each, the next picture must load.
    afterEach(async () => {
      assert.equal((await loadImage(picture("rgb.png"))).width, 45);
    });
    const rejects = (source: ImageSource, ...[code, message]: Parameters<typeof fails>) =>
      assert.rejects(loadImage(source), fails(code, message));

    it("names a file that is not there", async () => {
      await rejects(
        "no/such/picture.png",
        "INVALID_IMAGE",
        /"no\/such\/picture\.png" cannot be read: there is no such file/,
      );
      await rejects(root, "INVALID_IMAGE", /it is not a file/);
      await rejects("/dev/zero", "INVALID_IMAGE", /it is not a file/);
    });

    it("names what it got instead of a picture", async () => {
      await rejects(Buffer.alloc(0), "INVALID_IMAGE", /empty \(0 bytes\)/);
      await assert.rejects(
        loadImage(picture("picture.webp"), { decoder: "jimp" }),
        fails("INVALID_IMAGE", /picture\.webp.*it is a WebP.*npm install sharp.*convert the picture/),
      );
      await rejects(Buffer.from("\0\0\0\x1cftypavif\0\0\0\0", "latin1"), "INVALID_IMAGE", /AVIF/);
      await rejects(Buffer.from("\0\0\0\x18ftypheic\0\0\0\0", "latin1"), "INVALID_IMAGE", /HEIC/);
      await rejects(Buffer.from('<?xml version="1.0"?>\n<svg/>'), "INVALID_IMAGE", /SVG/);
      await rejects(Buffer.from("<!doctype html><p>404"), "INVALID_IMAGE", /HTML/);
      await rejects(Buffer.from("hello"), "INVALID_IMAGE", /no known format \(5 bytes, the first are 68 65 6c 6c 6f\)/);
      for (const [name, kind] of [
        ["cmyk.tiff", /CMYK TIFF.*npm install sharp/],
        ["planar.tiff", /separate colour planes.*npm install sharp/],
      ] as const) {
        await assert.rejects(loadImage(picture(name), { decoder: "jimp" }), fails("INVALID_IMAGE", kind));
      }
    });

    it("refuses sources of other kinds", async () => {
      for (const source of [null, undefined, 5, {}, [], { bitmap: null }, { bitmap: {} }]) {
        await rejects(source as unknown as ImageSource, "INVALID_INPUT");
      }
      const data = new Uint8Array(12);
      await rejects(
        { data, width: 2, height: 2, channels: 4 },
        "INVALID_INPUT",
        /12 bytes of RGB or 16 of RGBA.*not 12/,
      );
      await rejects({ data, width: 2, height: 5 }, "INVALID_INPUT");
      await rejects({ data, width: 0, height: 2 }, "INVALID_INPUT", /0 x 2/);
      await rejects({ data, width: 1.5, height: 2 }, "INVALID_INPUT");
      await rejects({ data: [1, 2, 3] as unknown as Uint8Array, width: 1, height: 1 }, "INVALID_INPUT", /Uint8Array/);
    });

    it("refuses truncated files of every format", async () => {
      for (const name of readdirSync(fixture("pictures"))) {
        const file = readFileSync(picture(name));
        if (file.length > 60_000) continue;
        const sharpAlone = name.endsWith(".webp") || ["cmyk.jpg", "cmyk.tiff", "planar.tiff"].includes(name);
        for (const decoder of sharpAlone ? ["sharp" as const] : DECODERS) {
          const whole = await loadImage(file, { decoder });
          for (const part of [0.02, 0.2, 0.5, 0.9]) {
            const end = Math.floor(file.length * part);
            let image: RawImage | undefined;
            try {
              image = await loadImage(file.subarray(0, end), { decoder });
            } catch (error) {
              fails("INVALID_IMAGE")(error);
            }
            // What a file has behind its pixels may be missing.
            if (image) {
              const message = `${name}, ${end} of ${file.length} bytes, by ${decoder}`;
              assert.deepEqual(rgbOf(image), rgbOf(whole), message);
            }
          }
        }
      }
      await rejects(readFileSync(picture("chelsea.png")).subarray(0, 100_000), "INVALID_IMAGE");
      await rejects(readFileSync(picture("rocket.jpg")).subarray(0, 60_000), "INVALID_IMAGE", /JPEG/);
    });

    it("refuses damaged pixels", async () => {
      const file = readFileSync(picture("rgb.png"));
      file.fill(0x55, 200, 300);
      await rejects(file, "INVALID_IMAGE", /PNG data is damaged/);
    });

    it("checks the declared size before it decodes", async () => {
      const bomb = blackPng(30_000, 30_000, deflateSync(Buffer.alloc(100)));
      const started = performance.now();
      await rejects(bomb, "IMAGE_TOO_LARGE", /30000 x 30000 = 900000000 pixels, more than the limit of 89478485/);
      assert(performance.now() - started < 1000);
      const options = { maxPixels: 45 * 33 };
      assert.equal((await loadImage(picture("rgb.png"), options)).height, 33);
      const limit = { maxPixels: 45 * 33 - 1 };
      for (const name of ["rgb.png", "palette.gif", "rgb.bmp", "rgb.tiff", "orientation-6.jpg"]) {
        await assert.rejects(loadImage(picture(name), limit), fails("IMAGE_TOO_LARGE", /45 x 33/));
      }
      await assert.rejects(loadImage(picture("rgb.png"), { maxPixels: 0 }), fails("INVALID_INPUT", /maxPixels/));
    });

    it("bounds what an interlaced PNG inflates to", async () => {
      const file = blackPng(8, 8, deflateSync(Buffer.alloc(50_000_000)));
      file[28] = 1; // interlaced
      file.writeUInt32BE(checksum(file.subarray(12, 29)), 29);
      // Pillow reads the 64 pixels and leaves the rest alone.
      for (const decoder of DECODERS) assert.equal((await loadImage(file, { decoder })).width, 8);
    });

    it("stops at an aborted signal", async () => {
      const signal = AbortSignal.abort(new Error("enough"));
      await assert.rejects(loadImage(picture("rgb.png"), { signal }), fails("ABORTED"));
    });

    it("stops at a signal that is aborted while the picture waits for others", async () => {
      const big = blackPng(3000, 2000);
      let decoded = 0;
      const earlier = [1, 2].map(() => loadImage(big).then(() => decoded++));
      const controller = new AbortController();
      const waiting = loadImage(readFileSync(picture("rgb.png")), { signal: controller.signal });
      const reason = new Error("enough");
      setImmediate(() => controller.abort(reason));
      await assert.rejects(waiting, (error: Error) => fails("ABORTED")(error) && error.cause === reason);
      assert.equal(decoded, 0);
      await Promise.all(earlier);
    });
  });

  it("lets the process end, by import and by require", async () => {
    const run = promisify(execFile);
    const path = JSON.stringify(picture("rgb.png"));
    const use = `loadImage(${path}).then(({ width }) => console.log(width))`;
    for (const [type, code] of [
      ["module", `import { loadImage } from "neuron-blip"; await ${use};`],
      ["commonjs", `const { loadImage } = require("neuron-blip"); ${use};`],
    ] as const) {
      const { stdout, stderr } = await run(process.execPath, [`--input-type=${type}`, "-e", code], {
        cwd: root,
        timeout: 30_000,
      });
      assert.deepEqual([stdout, stderr], ["45\n", ""]);
    }
  });
});
