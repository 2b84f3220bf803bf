// Pictures that keep their decoders busy, and what becomes of the next.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { BlipImageProcessor, type ImageSource, loadImage, NeuronBlip } from "neuron-blip";
import { DecoderPool } from "../../dist/images/decoder-pool.js";
import { SHARP_AT_A_TIME } from "../../dist/images/sharp-limits.js";
import { sharpPlaces } from "../../dist/images/sharp-places.js";
import { fails, fixture } from "../helpers.ts";
import { endlessGif, endlessTiff, manyScansJpeg, slowJpeg } from "../images/hostile-pictures.ts";

const chelsea = join(fixture("pictures"), "chelsea.png");
const DECODERS = ["sharp", "jimp"] as const;
/** Less than four decoders that are lost would hold the others up: each has 8 s, and two work at a time. */
const SOON_MS = 12_000;

async function isDecodedSoon(decoder: "sharp" | "jimp"): Promise<void> {
  const { width } = await loadImage(chelsea, { decoder, signal: AbortSignal.timeout(SOON_MS) });
  assert.equal(width, 451);
}

describe("after pictures that keep decoders busy were aborted", () => {
  for (const decoder of DECODERS) {
    it(`the next is decoded, and the process goes on with one thread for each: ${decoder}`, async () => {
      const hostile: Record<string, Buffer> = {
        slow: await slowJpeg(),
        tiff: endlessTiff(),
        gif: endlessGif(),
        jpeg: await manyScansJpeg(40_000),
      };
      for (const [name, file] of Object.entries(hostile)) {
        for (const count of [4, 9]) {
          const controller = new AbortController();
          const { signal } = controller;
          const asked = Array.from({ length: count }, () => loadImage(file, { decoder, signal }));
          const outcomes = Promise.allSettled(asked);
          await loadImage(file, { decoder, signal: AbortSignal.timeout(200) }).catch(() => {});
          controller.abort();
          await isDecodedSoon(decoder);
          for (const outcome of await outcomes) {
            // What is refused, or decoded after all, is not lost either.
            if (outcome.status === "rejected") assert.match(outcome.reason.code, /^(ABORTED|INVALID_IMAGE)$/, name);
          }
        }
      }
    });
  }

  it("goes on for those who still ask, where several ask for the same", async () => {
    await using blip = await NeuronBlip.fromPretrained(fixture("parity/small-batch-2/model"), { threads: 1 });
    const controller = new AbortController();
    const short = { maxNewTokens: 2 };
    const aborted = blip.answer(chelsea, "dog?", { ...short, signal: controller.signal });
    const other = blip.answer(chelsea, "dog?", short);
    setImmediate(() => controller.abort());
    await assert.rejects(aborted, fails("ABORTED"));
    assert.equal(typeof (await other).answer, "string");
  });
});

describe("a decoder's thread", () => {
  it("is ended where it is late, and has a successor", async () => {
    const pool = new DecoderPool({ size: 1, timeLimit: (pixels) => (pixels > 1e6 ? 300 : 30_000) });
    const options = { maxPixels: 1e9, decoder: "jimp" } as const;
    const slow = await slowJpeg();
    const file = (bytes: Buffer) => ({ bytes: new Uint8Array(bytes), name: "It" });
    for (let i = 0; i < 3; i++) await assert.rejects(pool.decode(file(slow), options), /did not come to an end/);
    const bmp = await readFile(join(fixture("pictures"), "rgb.bmp"));
    assert.equal((await pool.decode(file(bmp), options)).width, 45);
  });

  it("outlives aborts at any moment, with every decoder", async () => {
    const processor = new BlipImageProcessor();
    const names = ["rocket.jpg", "chelsea.png", "lossy.webp", "palette.gif", "rgb.bmp"];
    const pictures = names.map((name) => join(fixture("pictures"), name));
    for (const decoder of DECODERS) {
      for (let turns = 0; turns < 40; turns++) {
        const controller = new AbortController();
        const preparing = pictures.map((picture) =>
          processor.preprocess(picture, { decoder, signal: controller.signal }),
        );
        const outcomes = Promise.allSettled(preparing);
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
        controller.abort();
        await outcomes;
      }
      await isDecodedSoon(decoder);
    }
  });
});

describe("sharp", () => {
  it("has places for half of libuv's threads, at least one, in all of the process", async () => {
    assert.equal(SHARP_AT_A_TIME, 2);
    const leaves = [sharpPlaces.tryTake(), sharpPlaces.tryTake()];
    assert(leaves.every((leave) => leave !== undefined));
    assert.equal(sharpPlaces.tryTake(), undefined);
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads");
       import(${JSON.stringify(new URL("../../dist/images/sharp-places.js", import.meta.url).href)}).then(async ({ sharpPlaces }) => {
         parentPort.postMessage(sharpPlaces.tryTake() === undefined);
         const leave = await sharpPlaces.take();
         leave();
         parentPort.postMessage("taken");
       });`,
      { eval: true },
    );
    assert.deepEqual(await once(worker, "message"), [true]);
    const controller = new AbortController();
    const waiting = sharpPlaces.take(controller.signal);
    const next = sharpPlaces.take();
    controller.abort();
    await assert.rejects(waiting, fails("ABORTED"));
    const taken = once(worker, "message");
    leaves[0]?.();
    leaves[0]?.(); // no second place
    (await next)();
    assert.deepEqual(await taken, ["taken"]);
    leaves[1]?.();
    const again = [sharpPlaces.tryTake(), sharpPlaces.tryTake()];
    assert(again.every((leave) => leave !== undefined));
    for (const leave of again) leave?.();
  });

  it("shares them between Workers whose parent never loaded the package; one that is terminated gives back what it has", async () => {
    const url = JSON.stringify(new URL("../../dist/images/sharp-places.js", import.meta.url).href);
    const work = `const { parentPort } = require("node:worker_threads");
      import(${url}).then(async ({ sharpPlaces }) => {
        parentPort.postMessage([1, 2, 3].filter(() => sharpPlaces.tryTake()).length);
        await sharpPlaces.take();
        parentPort.postMessage("taken");
        setInterval(() => {}, 1000);
      });`;
    const code = `const { once } = require("node:events");
      const { Worker } = require("node:worker_threads");
      const start = () => new Worker(${JSON.stringify(work)}, { eval: true });
      (async () => {
        const first = start();
        const [taken] = await once(first, "message");
        const second = start();
        const [left] = await once(second, "message");
        await first.terminate();
        const [then] = await once(second, "message");
        console.log(taken, left, then);
        process.exit();
      })();`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", code]);
    assert.equal(stdout.trim(), "2 0 taken");
  });

  it("has fewer or more of them, as UV_THREADPOOL_SIZE says, however that is written", async () => {
    const url = new URL("../../dist/images/sharp-limits.js", import.meta.url).href;
    const code = `import(${JSON.stringify(url)}).then((limits) => console.log(limits.SHARP_AT_A_TIME))`;
    for (const [size, places] of Object.entries({ 1: 1, 5: 2, 8: 4, 0: 1, many: 1, 5000: 512 })) {
      const env = { ...process.env, UV_THREADPOOL_SIZE: size };
      const { stdout } = await promisify(execFile)(process.execPath, ["-e", code], { env });
      assert.equal(stdout.trim(), `${places}`, size);
    }
  });

  it("leaves threads for the file system, whatever it decodes", async () => {
    const { data: byItself } = await loadImage(chelsea, { decoder: "sharp" });
    const places = Array.from({ length: SHARP_AT_A_TIME }, () => sharpPlaces.tryTake());
    const rocket = join(fixture("pictures"), "rocket.jpg");
    const settled: string[] = [];
    try {
      assert(places.every((leave) => leave !== undefined));
      const decoding = loadImage(rocket, { decoder: "sharp" }).then(() => settled.push("sharp"));
      // What needs no sharp does not wait for it.
      const bmp: ImageSource = await readFile(join(fixture("pictures"), "rgb.bmp"));
      await loadImage(bmp, { decoder: "sharp" });
      await loadImage(rocket, { decoder: "jimp" });
      assert.deepEqual((await loadImage(chelsea, { decoder: "sharp" })).data, byItself);
      assert.deepEqual(settled, []);
      for (const leave of places) leave?.();
      await decoding;
    } finally {
      for (const leave of places) leave?.();
    }
    const free = Array.from({ length: SHARP_AT_A_TIME }, () => sharpPlaces.tryTake());
    assert(
      free.every((leave) => leave !== undefined),
      "what was decoded gives its place back",
    );
    for (const leave of free) leave?.();
  });

  it("has a place left while slow pictures are decoded or wait, whatever their number", async () => {
    const slow = await slowJpeg();
    const places = Array.from({ length: SHARP_AT_A_TIME }, () => sharpPlaces.tryTake());
    const controller = new AbortController();
    const asked = Promise.allSettled(
      Array.from({ length: 4 }, () => loadImage(slow, { decoder: "sharp", signal: controller.signal })),
    );
    try {
      // Those asked have read their headers meanwhile.
      for (let i = 0; i < 8; i++) await loadImage(join(fixture("pictures"), "rgb.bmp"), { decoder: "sharp" });
      for (const leave of places) leave?.();
      const place = sharpPlaces.tryTake();
      assert(place, "all places are slow pictures'");
      place();
      assert.equal((await loadImage(join(fixture("pictures"), "rocket.jpg"), { decoder: "sharp" })).channels, 3);
    } finally {
      for (const leave of places) leave?.();
      controller.abort();
      await asked;
    }
  });
});
