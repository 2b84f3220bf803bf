import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DecoderPool } from "../dist/images/decoder-pool.js";
import { fails, fixture } from "./helpers.ts";
import { manyScansJpeg } from "./hostile-pictures.ts";

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
const oneThread = () => new DecoderPool({ size: 1 });

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

  it("does not count against a picture what its thread takes to start", () => {
    const pool = new URL("../dist/images/decoder-pool.js", import.meta.url).href;
    const file = JSON.stringify(join(fixture("pictures"), "lzw.tiff"));
    const program = `
      import { readFileSync } from "node:fs";
      import { DecoderPool } from ${JSON.stringify(pool)};
      const file = { bytes: new Uint8Array(readFileSync(${file})), name: "The picture" };
      console.log((await new DecoderPool({ size: 1 }).decode(file, ${JSON.stringify(options)})).width);`;
    const slowStart = new URL("children/slow-start.mjs", import.meta.url).href;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: `--import ${slowStart}` },
    });
    assert.equal(stdout.trim(), "45", stderr);
  });

  it("gives a picture more time when its header says that it is large", async () => {
    // A header may take less than its pixels, which take seconds.
    const pool = new DecoderPool({ size: 1, timeLimit: (pixels) => (pixels === SLOW_SIZE ** 2 ? 60_000 : 20_000) });
    assert.equal((await pool.decode(slow(), slowOptions)).width, SLOW_SIZE);
  });

  it("reads a reply that came while the event loop was held beyond the time limit", async () => {
    let limit = 10_000;
    const pool = new DecoderPool({ size: 1, timeLimit: () => limit });
    await pool.decode(tiff(), options); // starts the thread
    limit = 100;
    await new Promise((resolve) => setImmediate(resolve)); // next, the loop looks at timers, then at messages
    const decoding = pool.decode(tiff(), options);
    await new Promise<void>((resolve) => process.nextTick(resolve)); // the thread has the request
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    assert.equal((await decoding).width, 45);
  });

  it("rejects an aborted picture at once and does not decode it", async () => {
    const pool = oneThread();
    const controller = new AbortController();
    const reason = new Error("enough");
    const settled: string[] = [];
    const earlier = [1, 2, 3].map(() => pool.decode(tiff(), options).then(() => settled.push("earlier")));
    const file = tiff();
    const aborted = pool.decode(file, { ...options, signal: controller.signal });
    const later = pool.decode(tiff(), { ...options, signal: new AbortController().signal });
    controller.abort(reason);
    await assert.rejects(aborted, (error: Error) => fails("ABORTED")(error) && error.cause === reason);
    assert.deepEqual(settled, []);
    assert.equal((await later).width, 45);
    assert.equal((await Promise.all(earlier)).length, 3);
    assert.notEqual(file.bytes.length, 0, "the decoder was not given the file");
  });

  it("takes one signal for many pictures, and drops its listeners", async () => {
    const pool = new DecoderPool({ size: 2 });
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    const controller = new AbortController();
    const { signal } = controller;
    await Promise.all(Array.from({ length: 12 }, () => pool.decode(tiff(), { ...options, signal })));
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const decoding = Array.from({ length: 12 }, () => pool.decode(tiff(), { ...options, signal }));
    controller.abort();
    for (const picture of decoding) await assert.rejects(picture, fails("ABORTED"));
    process.off("warning", onWarning);
    assert.deepEqual(warnings, []);
  });

  it("rejects a picture that is aborted while it is decoded, and decodes the next", async () => {
    const pool = oneThread();
    const controller = new AbortController();
    const { signal } = controller;
    const decoding = pool.decode(tiff(), { ...options, signal });
    setImmediate(() => controller.abort());
    await assert.rejects(decoding, fails("ABORTED"));
    assert.equal((await pool.decode(tiff(), options)).width, 45);
    await assert.rejects(pool.decode(tiff(), { ...options, signal }), fails("ABORTED"));
  });

  it("takes the file for itself", async () => {
    const file = tiff();
    const decoding = oneThread().decode(file, options);
    assert.equal((await decoding).data.length, 45 * 33 * 4);
    assert.equal(file.bytes.length, 0);
  });
});
