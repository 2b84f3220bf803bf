import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Decoder } from "../dist/processing/decoder.js";
import { fails, fixture } from "./helpers.ts";

const PIXELS = 45 * 33;
const tiff = () => new Uint8Array(readFileSync(join(fixture("pictures"), "lzw.tiff")));

describe("Decoder", () => {
  it("gives up on a picture that its decoder does not come to an end with, and decodes the next", async () => {
    // Without the code that every LZW stream begins with, the decoder goes round in circles.
    const damaged = tiff();
    damaged[8] = 42;
    const decoder = new Decoder(() => 3000);
    const first = decoder.decode(damaged, PIXELS, PIXELS);
    const second = decoder.decode(tiff(), PIXELS, PIXELS);
    await assert.rejects(first, /did not come to an end in 3 s/);
    assert.equal((await second).width, 45);
  });

  it("reads a reply that came while the event loop was held beyond the time limit", async () => {
    const decoder = new Decoder((pixels) => pixels);
    await decoder.decode(tiff(), 10_000, PIXELS); // starts the thread
    await new Promise((resolve) => setImmediate(resolve)); // next, the loop looks at timers, then at messages
    const decoding = decoder.decode(tiff(), 100, PIXELS);
    await new Promise<void>((resolve) => process.nextTick(resolve)); // the thread has the request
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    assert.equal((await decoding).width, 45);
  });

  it("rejects an aborted picture at once and does not decode it", async () => {
    const decoder = new Decoder();
    const controller = new AbortController();
    const reason = new Error("enough");
    const settled: string[] = [];
    const earlier = [1, 2, 3].map(() => decoder.decode(tiff(), PIXELS, PIXELS).then(() => settled.push("earlier")));
    const file = tiff();
    const aborted = decoder.decode(file, PIXELS, PIXELS, controller.signal);
    const later = decoder.decode(tiff(), PIXELS, PIXELS, new AbortController().signal);
    controller.abort(reason);
    await assert.rejects(aborted, (error: Error) => fails("ABORTED")(error) && error.cause === reason);
    assert.deepEqual(settled, []);
    assert.equal((await later).width, 45);
    assert.equal((await Promise.all(earlier)).length, 3);
    assert.notEqual(file.length, 0, "the decoder was not given the file");
  });

  it("takes one signal for many pictures, and drops its listeners", async () => {
    const decoder = new Decoder();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    const controller = new AbortController();
    const { signal } = controller;
    await Promise.all(Array.from({ length: 12 }, () => decoder.decode(tiff(), PIXELS, PIXELS, signal)));
    assert.equal(getEventListeners(signal, "abort").length, 0);
    const decoding = Array.from({ length: 12 }, () => decoder.decode(tiff(), PIXELS, PIXELS, signal));
    controller.abort();
    for (const picture of decoding) await assert.rejects(picture, fails("ABORTED"));
    process.off("warning", onWarning);
    assert.deepEqual(warnings, []);
  });

  it("rejects a picture that is aborted while it is decoded, and decodes the next", async () => {
    const decoder = new Decoder();
    const controller = new AbortController();
    const decoding = decoder.decode(tiff(), PIXELS, PIXELS, controller.signal);
    setImmediate(() => controller.abort());
    await assert.rejects(decoding, fails("ABORTED"));
    assert.equal((await decoder.decode(tiff(), PIXELS, PIXELS)).width, 45);
    await assert.rejects(decoder.decode(tiff(), PIXELS, PIXELS, controller.signal), fails("ABORTED"));
  });

  it("takes the file for itself", async () => {
    const file = tiff();
    const decoding = new Decoder().decode(file, PIXELS, PIXELS);
    assert.equal((await decoding).data.length, PIXELS * 4);
    assert.equal(file.length, 0);
  });
});
