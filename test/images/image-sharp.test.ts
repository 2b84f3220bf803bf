import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { BlipImageProcessor, loadImage } from "neuron-blip";
import sharp from "sharp";
import { fails, fixture } from "../helpers.ts";
import { manyScansJpeg } from "./hostile-pictures.ts";
import { rgbOf, sha256 } from "./pixels.ts";

type Decoded = Record<string, { width: number; height: number; sha256: string }>;

const goldens: { decodedBySharp: Decoded } = JSON.parse(readFileSync(fixture("image-goldens.json"), "utf8"));
const picture = (name: string) => join(fixture("pictures"), name);
const root = fileURLToPath(new URL("../..", import.meta.url));

describe("loadImage with sharp", () => {
  it("decodes JPEG and WebP to Pillow's pixels: no colour profile, no alpha, the first frame, turned once", async () => {
    const entries = Object.entries(goldens.decodedBySharp);
    assert(entries.length >= 13);
    for (const [name, { width, height, sha256: expected }] of entries) {
      const image = await loadImage(picture(name));
      assert.deepEqual([image.width, image.height], [width, height], name);
      assert.equal(sha256(rgbOf(image)), expected, name);
    }
  });

  it("decodes a JPEG that has stray bytes in it, as Pillow does", async () => {
    const file = readFileSync(picture("rocket.jpg"));
    const stray = Buffer.concat([file.subarray(0, -2), Buffer.from([0x12, 0x34, 0xff, 0xd9])]);
    assert.equal((await loadImage(stray)).width, 640);
  });

  it("checks a WebP's declared size before it decodes", async () => {
    for (const name of ["picture.webp", "lossy.webp", "alpha.webp"]) {
      const limit = { maxPixels: 45 * 33 - 1 };
      await assert.rejects(loadImage(picture(name), limit), fails("IMAGE_TOO_LARGE", /45 x 33/), name);
    }
    const file = readFileSync(picture("orientation-6.webp"));
    file.writeUIntLE(20_000 - 1, 24, 3);
    file.writeUIntLE(20_000 - 1, 27, 3);
    await assert.rejects(loadImage(file), fails("IMAGE_TOO_LARGE", /20000 x 20000/));
  });

  it("refuses a WebP that is damaged, or not of the size that it declares", async () => {
    const file = readFileSync(picture("orientation-6.webp"));
    file.writeUIntLE(50 - 1, 24, 3);
    await assert.rejects(loadImage(file), fails("INVALID_IMAGE", /the WebP data is damaged/));
    const damaged = readFileSync(picture("lossy.webp"));
    damaged.fill(0, 20, 26);
    await assert.rejects(loadImage(damaged), fails("INVALID_IMAGE", /WebP header is damaged/));
  });

  it("takes the same for the model: pixel values of a JPEG equal those of its decoded pixels", async () => {
    const processor = new BlipImageProcessor({ size: { width: 32, height: 32 } });
    const direct = await processor.preprocess(picture("orientation-6.jpg"));
    const decoded = await processor.preprocess(await loadImage(picture("orientation-6.jpg")));
    assert.deepEqual(direct.data, decoded.data);
    const byJimp = await processor.preprocess(picture("422-progressive.jpg"), { decoder: "jimp" });
    assert.notDeepEqual(byJimp.data, (await processor.preprocess(picture("422-progressive.jpg"))).data);
  });

  it("refuses a decoder that there is not, from the option and from the environment", async () => {
    const options = { decoder: "pillow" as "jimp" };
    await assert.rejects(
      loadImage(picture("rgb.png"), options),
      fails("INVALID_INPUT", /decoder must be "sharp".*"pillow"/),
    );
    const before = process.env.NEURON_BLIP_DECODER;
    try {
      process.env.NEURON_BLIP_DECODER = "jimp";
      assert.equal((await loadImage(picture("420.jpg"))).channels, 4);
      assert.equal((await loadImage(picture("420.jpg"), { decoder: "sharp" })).channels, 3);
      process.env.NEURON_BLIP_DECODER = "Jimp";
      await assert.rejects(
        loadImage(picture("rgb.png")),
        fails("INVALID_INPUT", /NEURON_BLIP_DECODER must be.*"Jimp"/),
      );
    } finally {
      if (before === undefined) delete process.env.NEURON_BLIP_DECODER;
      else process.env.NEURON_BLIP_DECODER = before;
    }
  });

  it("refuses a JPEG of more scans than decoding it could be waited for, with sharp and without", async () => {
    const message = /times as long to decode as other JPEG pictures of its size/;
    for (const decoder of ["sharp", "jimp"] as const) {
      await assert.rejects(loadImage(await manyScansJpeg(1500), { decoder }), fails("INVALID_IMAGE", message));
      await assert.rejects(loadImage(await manyScansJpeg(40_000, 64), { decoder }), fails("INVALID_IMAGE", message));
    }
    assert.equal((await loadImage(picture("422-progressive.jpg"))).channels, 3);
  });

  it("leaves sharp's settings as the user has them", async () => {
    const settings = () => JSON.stringify([sharp.concurrency(), sharp.cache().memory.max, sharp.simd()]);
    const before = settings();
    await loadImage(picture("rocket.jpg"));
    assert.equal(settings(), before);
  });

  describe("in a project of its own", () => {
    const project = mkdtempSync(join(tmpdir(), "neuron-blip-sharp-"));
    after(() => rmSync(project, { recursive: true }));

    /** Loads a JPEG where `sharp` is what the given source says, or is not there. */
    async function channelsWith(name: string, source: string | undefined): Promise<{ out: string; warnings: string }> {
      const hook = join(project, `${name}.mjs`);
      const url = `data:text/javascript,${encodeURIComponent(source ?? "")}`;
      const missing = `throw Object.assign(new Error("Cannot find package 'sharp'"), { code: "ERR_MODULE_NOT_FOUND" })`;
      const resolveSharp =
        source === undefined ? missing : `return { url: ${JSON.stringify(url)}, shortCircuit: true }`;
      mkdirSync(project, { recursive: true });
      writeFileSync(
        hook,
        `export async function resolve(specifier, context, next) {
          if (specifier === "sharp") { ${resolveSharp}; }
          return next(specifier, context);
        }`,
      );
      const code = `
        import { register } from "node:module";
        register(${JSON.stringify(pathToFileURL(hook).href)});
        const { decodeImage } = await import(${JSON.stringify(pathToFileURL(join(root, "dist/images/decode-image.js")).href)});
        const { readImageHeader } = await import(${JSON.stringify(pathToFileURL(join(root, "dist/images/image-size.js")).href)});
        import { readFileSync } from "node:fs";
        const file = readFileSync(${JSON.stringify(picture("rocket.jpg"))});
        for (let i = 0; i < 2; i++) {
          const { channels } = await decodeImage(Buffer.from(file), readImageHeader(file), {
            maxPixels: 1e6, decoder: "sharp", warn: console.error,
          });
          console.log(channels);
        }`;
      const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", code]);
      return { out: stdout.replace(/\n/g, ""), warnings: stderr };
    }

    it("decodes by jimp, without a word, where sharp is not installed", async () => {
      const { out, warnings } = await channelsWith("missing", undefined);
      assert.deepEqual([out, warnings], ["44", ""]);
    });

    it("decodes by jimp, and says so once, where sharp does not load or is too old", async () => {
      const broken = await channelsWith("broken", `throw new Error("Could not load the sharp module")`);
      assert.equal(broken.out, "44");
      assert.match(broken.warnings, /sharp is installed but does not load \(Could not load the sharp module\)/);
      assert.equal(broken.warnings.match(/does not load/g)?.length, 1);
      const old = await channelsWith("old", `export default { versions: { sharp: "0.32.6" } }`);
      assert.equal(old.out, "44");
      assert.match(old.warnings, /sharp 0\.32\.6 is too old/);
    });
  });
});
