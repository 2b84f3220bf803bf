import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DecoderPool } from "../dist/processing/decoder-pool.js";
import { fails, fixture } from "./helpers.ts";

const tiff = () => ({
  bytes: new Uint8Array(readFileSync(join(fixture("pictures"), "lzw.tiff"))),
  name: "The picture",
});
/** Without the code that every LZW stream begins with, the decoder goes round in circles. */
function endless() {
  const file = tiff();
  file.bytes[8] = 42;
  return file;
}
const options = { maxPixels: 45 * 33, decoder: "jimp" } as const;
const oneThread = () => new DecoderPool({ size: 1 });

describe("DecoderPool", () => {
  it("gives up on a picture that its decoder does not come to an end with, and decodes the next", async () => {
    const pool = new DecoderPool({ size: 1, timeLimit: () => 3000 });
    const first = pool.decode(endless(), options);
    const second = pool.decode(tiff(), options);
    await assert.rejects(first, /did not come to an end in 3 s/);
    assert.equal((await second).width, 45);
  });

  it("decodes other pictures while one does not come to an end", async () => {
    const pool = new DecoderPool({ size: 2, timeLimit: () => 5000 });
    let gaveUp = false;
    const first = pool.decode(endless(), options).catch(() => {
      gaveUp = true;
    });
    const others = await Promise.all([1, 2, 3].map(() => pool.decode(tiff(), options)));
    assert.deepEqual(
      others.map(({ width }) => width),
      [45, 45, 45],
    );
    assert.equal(gaveUp, false);
    await first;
    assert.equal(gaveUp, true);
  });

  it("gives a picture more time when its header says that it is large", async () => {
    // A header may take the first limit, 45 x 33 pixels the second.
    const pool = new DecoderPool({ size: 1, timeLimit: (pixels) => (pixels === 45 * 33 ? 4000 : 60_000) });
    await assert.rejects(pool.decode(endless(), options), /did not come to an end in 4 s/);
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
