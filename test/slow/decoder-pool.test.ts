// Pictures that take seconds; test/images/decoder-pool.test.ts has others.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DecoderPool } from "../../dist/images/decoder-pool.js";
import { fixture } from "../helpers.ts";
import { manyScansJpeg } from "../images/hostile-pictures.ts";

const tiff = () => ({
  bytes: new Uint8Array(readFileSync(join(fixture("pictures"), "lzw.tiff"))),
  name: "The picture",
});
/** Takes jimp seconds: as many scans as are not refused. */
let slowJpeg: Buffer;
const SLOW_SIZE = 3072;
const slow = () => ({ bytes: new Uint8Array(slowJpeg), name: "The picture" });
const slowOptions = { maxPixels: SLOW_SIZE ** 2, decoder: "jimp" } as const;
/** Half a second for the slow one, once its header has been read. */
const timeLimit = (pixels: number) => (pixels === SLOW_SIZE ** 2 ? 500 : 60_000);
const options = { maxPixels: 45 * 33, decoder: "jimp" } as const;

describe("DecoderPool", () => {
  before(async () => {
    slowJpeg = await manyScansJpeg(35, SLOW_SIZE);
  });

  it("gives up on a picture that its decoder does not come to an end with, and decodes the next", async () => {
    const pool = new DecoderPool({ size: 1, timeLimit });
    const first = pool.decode(slow(), slowOptions);
    const second = pool.decode(tiff(), options);
    await assert.rejects(first, /did not come to an end in /);
    assert.equal((await second).width, 45);
  });

  it("decodes other pictures while one does not come to an end", async () => {
    const pool = new DecoderPool({ size: 2, timeLimit: () => 60_000 });
    await Promise.all([1, 2].map(() => pool.decode(tiff(), options))); // starts both threads
    let gaveUp = false;
    const controller = new AbortController();
    const first = pool.decode(slow(), { ...slowOptions, signal: controller.signal }).catch(() => {
      gaveUp = true;
    });
    const others = await Promise.all([1, 2, 3].map(() => pool.decode(tiff(), options)));
    assert.deepEqual(
      others.map(({ width }) => width),
      [45, 45, 45],
    );
    assert.equal(gaveUp, false);
    controller.abort();
    await first;
    assert.equal(gaveUp, true);
  });

  it("gives a picture more time when its header says that it is large", async () => {
    // A header may take less than its pixels, which take seconds.
    const pool = new DecoderPool({ size: 1, timeLimit: (pixels) => (pixels === SLOW_SIZE ** 2 ? 60_000 : 20_000) });
    assert.equal((await pool.decode(slow(), slowOptions)).width, SLOW_SIZE);
  });

  it("does not count against a picture what its thread takes to start", () => {
    const pool = new URL("../../dist/images/decoder-pool.js", import.meta.url).href;
    const file = JSON.stringify(join(fixture("pictures"), "lzw.tiff"));
    const program = `
      import { readFileSync } from "node:fs";
      import { DecoderPool } from ${JSON.stringify(pool)};
      const file = { bytes: new Uint8Array(readFileSync(${file})), name: "The picture" };
      console.log((await new DecoderPool({ size: 1 }).decode(file, ${JSON.stringify(options)})).width);`;
    const slowStart = new URL("../children/slow-start.mjs", import.meta.url).href;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: `--import ${slowStart}` },
    });
    assert.equal(stdout.trim(), "45", stderr);
  });
});
