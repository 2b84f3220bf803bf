import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import workers from "node:worker_threads";
import { DecoderPool } from "../../dist/images/decoder-pool.js";
import { fails, fixture } from "../helpers.ts";

const tiff = () => ({
  bytes: new Uint8Array(readFileSync(join(fixture("pictures"), "lzw.tiff"))),
  name: "The picture",
});
const options = { maxPixels: 45 * 33, decoder: "jimp" } as const;
const oneThread = () => new DecoderPool({ size: 1 });

describe("DecoderPool", () => {
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

  it("decodes on where the system has no thread left to keep in reserve", async () => {
    const pool = oneThread();
    const first = pool.decode(tiff(), options);
    await new Promise((resolve) => setImmediate(resolve)); // it has its thread
    const { Worker } = workers;
    let refused = 0;
    class NoWorker {
      constructor() {
        refused++;
        throw new Error("Worker initialization failure: EAGAIN");
      }
    }
    Object.assign(workers, { Worker: NoWorker });
    syncBuiltinESMExports();
    try {
      assert.equal((await first).width, 45);
      while (refused === 0) assert.equal((await pool.decode(tiff(), options)).width, 45);
    } finally {
      Object.assign(workers, { Worker });
      syncBuiltinESMExports();
    }
  });

  it("takes the file for itself", async () => {
    const file = tiff();
    const decoding = oneThread().decode(file, options);
    assert.equal((await decoding).data.length, 45 * 33 * 4);
    assert.equal(file.bytes.length, 0);
  });
});
