import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadImage } from "neuron-blip";
import { fails, fixture } from "../helpers.ts";
import { computedPixels, resize, type Size, sha256 } from "../images/pixels.ts";

interface Golden {
  source: Size;
  target: Size;
  sha256: string;
}

/** What Pillow makes of computed pixels. */
function readGoldens(): Golden[] {
  const { small, large } = JSON.parse(readFileSync(fixture("image-goldens.json"), "utf8"));
  const digested = small.map(({ pixels, ...golden }: { pixels: number[] }) => ({
    ...golden,
    sha256: sha256(Uint8Array.from(pixels)),
  }));
  return [...digested, ...large];
}

/** A JPEG with an EXIF block that states an orientation. */
function withOrientation(jpeg: Buffer, orientation: number): Buffer {
  const exif = Buffer.from("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\0\0\0\0\0\0\0", "latin1");
  exif[6 + 8 + 2 + 9] = orientation;
  const header = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
  return Buffer.concat([jpeg.subarray(0, 2), header, exif, jpeg.subarray(2)]);
}

describe("the resize", () => {
  it("equals Pillow's on every pixel, at sizes at which its loops and threads have their edges", async () => {
    for (const { source, target, sha256: expected } of readGoldens()) {
      for (const channels of [3, 4] as const) {
        const resized = await resize(computedPixels(source, channels), target);
        assert.equal(sha256(resized), expected, `${source} to ${target}, ${channels} channels`);
      }
    }
  });

  it("computes the same without SIMD", async () => {
    const child = fileURLToPath(new URL("../children/resize.ts", import.meta.url));
    const env = { ...process.env, NEURON_BLIP_SIMD: "off" };
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", child], { env });
    assert.deepEqual(
      JSON.parse(stdout),
      readGoldens().flatMap(({ sha256: expected }) => [expected, expected]),
    );
  });

  it("turns a picture by its EXIF orientation as loadImage does", async () => {
    const photograph = readFileSync(join(fixture("pictures"), "rocket.jpg"));
    const seen = new Set<string>();
    for (let orientation = 1; orientation <= 8; orientation++) {
      const file = withOrientation(photograph, orientation);
      const turned = await loadImage(file);
      assert.deepEqual([turned.width, turned.height], orientation < 5 ? [640, 427] : [427, 640]);
      for (const size of [
        [40, 30],
        [turned.width, turned.height],
        [turned.width, 20],
        [20, turned.height],
      ] as Size[]) {
        assert.deepEqual(await resize(file, size), await resize(turned, size), `${orientation} to ${size}`);
      }
      seen.add(sha256(turned.data));
    }
    assert.equal(seen.size, 8);
  });

  it("refuses pixels whose buffer is transferred while they are copied", async () => {
    const pixels = computedPixels([2000, 1200]);
    const resizing = resize(pixels, [9, 9]);
    setImmediate(() => structuredClone(pixels.data.buffer, { transfer: [pixels.data.buffer as ArrayBuffer] }));
    await assert.rejects(resizing, fails("INVALID_INPUT", /pixels are gone: 0 of 7200000 bytes are left/));
  });
});
