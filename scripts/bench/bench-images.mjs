// Times pictures to pixel values, ours (sharp, jimp) and Pillow with transformers' processor in turn, in one run, checks that
// they are the same, and measures how long the event loop is held meanwhile.
//   node scripts/bench/bench-images.mjs [--rounds 15] [--seconds 10] [--python python3] [--json] [FILE...]
// Without FILE it makes JPEGs of three sizes, which needs sharp. The Python needs pillow and transformers.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BlipImageProcessor } from "neuron-blip";

/** @typedef {{median: number, low: number, high: number, samples: number[]}} Times in ms; low and high are the quartiles */
/** @typedef {Record<"sharp" | "jimp" | "pillow", Times>} Side */
/** @typedef {{picture: string, times: Side, ratio: number, equal: boolean}} PictureResult ratio: sharp's median by Pillow's */
/** @typedef {{max: number, p99: number}} Delays of the event loop, in ms */
/**
 * `idle`: of a process that does nothing meanwhile: what the machine's other work accounts for.
 * @typedef {Delays & {pictures: number, seconds: number, idle: Delays}} LoopResult
 */

/** What the event loop waits where nothing is done, in ms: monitorEventLoopDelay's timer. */
const RESOLUTION = 1;

/** A process that watches its own event loop, which has nothing to do, until its input ends. */
const IDLER = `
  import { monitorEventLoopDelay } from "node:perf_hooks";
  const delays = monitorEventLoopDelay({ resolution: ${RESOLUTION} });
  delays.enable();
  console.log("ready");
  process.stdin.resume().on("end", () => {
    console.log(JSON.stringify({ max: delays.max / 1e6, p99: delays.percentile(99) / 1e6 }));
    process.exit();
  });`;

/**
 * Writes JPEGs (4:2:0, as cameras do) with details of every size.
 * @param {string} directory
 * @returns {Promise<string[]>} their paths: 640 x 480, 1920 x 1080, 4000 x 3000
 */
export async function makePictures(directory) {
  const { default: sharp } = await import("sharp");
  const photograph = fileURLToPath(new URL("../../test/fixtures/pictures/rocket.jpg", import.meta.url));
  const paths = [];
  for (const [width, height] of /** @type {[number, number][]} */ ([
    [640, 480],
    [1920, 1080],
    [4000, 3000],
  ])) {
    const pixels = await sharp(photograph).resize(width, height, { fit: "fill" }).raw().toBuffer();
    let state = 1;
    for (let i = 0; i < pixels.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      pixels[i] = Math.min(255, Math.max(0, /** @type {number} */ (pixels[i]) + (state >>> 28) - 8));
    }
    const path = join(directory, `${width}x${height}.jpg`);
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 88 })
      .toFile(path);
    paths.push(path);
  }
  return paths;
}

/**
 * Times each picture to pixel values, each side in turn, and starting with another one in each round.
 * @param {readonly string[]} pictures paths
 * @param {{python: string, rounds: number}} options
 * @returns {Promise<PictureResult[]>}
 */
export async function measurePictures(pictures, { python, rounds }) {
  const processor = new BlipImageProcessor();
  const script = fileURLToPath(new URL("bench_images.py", import.meta.url));
  const child = spawn(python, ["-W", "ignore", script], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  if ((await lines.next()).value !== "ready") throw new Error(`${python} lacks pillow or transformers.`);

  /** @type {(decoder: "sharp" | "jimp") => (path: string) => Promise<[number, string]>} */
  const ours = (decoder) => async (path) => {
    const start = performance.now();
    const values = await processor.preprocess(path, { decoder });
    const time = performance.now() - start;
    const digest = createHash("sha256").update(values.data).digest("hex");
    values.dispose();
    return [time, digest];
  };
  /** @type {Record<keyof Side, (path: string) => Promise<[number, string]>>} */
  const sides = {
    sharp: ours("sharp"),
    jimp: ours("jimp"),
    async pillow(path) {
      child.stdin.write(`${path}\n`);
      const [time, digest] = String((await lines.next()).value).split(" ");
      return [Number(time), String(digest)];
    },
  };
  const names = /** @type {(keyof Side)[]} */ (Object.keys(sides));
  const results = [];
  for (const path of pictures) {
    /** @type {Record<keyof Side, number[]>} */
    const samples = { sharp: [], jimp: [], pillow: [] };
    /** @type {Partial<Record<keyof Side, string>>} */
    const digests = {};
    for (let round = -2; round < rounds; round++) {
      for (const i of names.keys()) {
        const name = /** @type {keyof Side} */ (names[(i + round + names.length) % names.length]);
        await sleep(20);
        const [time, digest] = await sides[name](path);
        digests[name] = digest;
        if (round >= 0) samples[name].push(time); // the first two warm up
      }
    }
    const times = { sharp: summary(samples.sharp), jimp: summary(samples.jimp), pillow: summary(samples.pillow) };
    const ratio = times.sharp.median / times.pillow.median;
    results.push({ picture: basename(path), times, ratio, equal: digests.sharp === digests.pillow });
  }
  child.stdin.end();
  return results;
}

/**
 * Prepares a picture over and over, some at a time, and watches the event loop.
 * @param {string} path
 * @param {{seconds: number, atATime?: number, decoder?: "sharp" | "jimp"}} options
 * @returns {Promise<LoopResult>}
 */
export async function measureEventLoop(path, { seconds, atATime = 4, decoder = "sharp" }) {
  const processor = new BlipImageProcessor();
  const prepare = async () => (await processor.preprocess(path, { decoder })).dispose();
  await Promise.all(Array.from({ length: atATime }, prepare)); // starts the threads
  const idler = spawn(process.execPath, ["--input-type=module", "-e", IDLER], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: idler.stdout })[Symbol.asyncIterator]();
  await lines.next(); // it watches
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
  delays.enable();
  const end = performance.now() + seconds * 1000;
  let pictures = 0;
  const lane = async () => {
    for (; performance.now() < end; pictures++) await prepare();
  };
  await Promise.all(Array.from({ length: atATime }, lane));
  delays.disable();
  idler.stdin.end();
  const idle = JSON.parse(String((await lines.next()).value));
  return { pictures, seconds, max: delays.max / 1e6, p99: delays.percentile(99) / 1e6, idle };
}

/**
 * @param {number[]} samples
 * @returns {Times}
 */
function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (/** @type {number} */ share) => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75), samples };
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "15" },
      seconds: { type: "string", default: "10" },
      python: { type: "string", default: process.env.NEURON_BLIP_PYTHON ?? "python3" },
      json: { type: "boolean", default: false },
    },
  });
  const directory = mkdtempSync(join(tmpdir(), "neuron-blip-pictures-"));
  try {
    const pictures = positionals.length > 0 ? positionals : await makePictures(directory);
    const results = await measurePictures(pictures, { python: values.python, rounds: Number(values.rounds) });
    const largest = /** @type {string} */ (pictures.at(-1));
    const eventLoop = await measureEventLoop(largest, { seconds: Number(values.seconds) });
    if (values.json) {
      console.log(JSON.stringify({ pictures: results, eventLoop }, null, 2));
      return;
    }
    for (const { picture, times, ratio, equal } of results) {
      console.log(picture);
      for (const [name, { median, low, high }] of Object.entries(times)) {
        console.log(
          `  ${name.padEnd(6)}  median ${median.toFixed(1)} ms  (quartiles ${low.toFixed(1)} to ${high.toFixed(1)})`,
        );
      }
      console.log(
        `  sharp / pillow: ${ratio.toFixed(2)}; their pixel values are ${equal ? "the same" : "NOT the same"}`,
      );
    }
    const { pictures: count, max, p99, idle } = eventLoop;
    console.log(
      `event loop over ${count} pictures ${basename(largest)}: held for ${max.toFixed(1)} ms at most, ${p99.toFixed(1)} ms at the 99th percentile; an idle process meanwhile: ${idle.max.toFixed(1)} and ${idle.p99.toFixed(1)} ms`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
