/** Pictures of the test suite with damages in them, by numbers. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Whole photographs would take most of the time. */
const LARGEST_PICTURE = 100_000;

const root = fileURLToPath(new URL("../..", import.meta.url));
/** @type {{ name: string, bytes: Buffer }[] | undefined} */
let all;

/**
 * @typedef {() => number} Random from 0 to 1
 * @typedef {<T>(list: T[]) => T} Pick
 */

/**
 * The same for a seed and an index, as long as the pictures are the same.
 * @param {number} seed
 * @param {number} index
 */
export function damagedPicture(seed, index) {
  const random = randomNumbers(seed * 2 ** 20 + index);
  /** @type {Pick} */
  const pick = (list) => {
    const [picked] = list.slice(Math.floor(random() * list.length));
    if (picked === undefined) throw new Error("there is nothing to pick from");
    return picked;
  };
  const { name, bytes } = pick(pictures());
  /** @type {Buffer} */
  let damaged = Buffer.from(bytes);
  for (let changes = 1 + Math.floor(random() ** 2 * 8); changes > 0; changes--)
    damaged = pick(DAMAGES)(damaged, random, pick);
  return { name, bytes: damaged };
}

function pictures() {
  all ??= ["test/fixtures/pictures", "test/fixtures/picture-cases", "demo/pictures"].flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true })
      .map(String)
      .sort()
      .filter((name) => /\.(jpe?g|png|gif|bmp|tiff?|webp|avif)$/.test(name))
      .map((name) => ({ name, path: join(root, directory, name) }))
      .filter(({ path }) => statSync(path).size <= LARGEST_PICTURE)
      .map(({ name, path }) => ({ name, bytes: readFileSync(path) })),
  );
  return all;
}

const INTERESTING = [
  0,
  1,
  2,
  3,
  7,
  8,
  15,
  16,
  31,
  32,
  127,
  128,
  255,
  256,
  1000,
  4095,
  4096,
  9000,
  32_767,
  32_768,
  65_535,
  65_536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/**
 * Half of the time among the first bytes, where headers are.
 * @param {Buffer} bytes
 * @param {Random} random
 */
function placeIn(bytes, random) {
  const reach = random() < 0.5 ? Math.min(bytes.length, 200) : bytes.length;
  return Math.floor(random() * reach);
}

/**
 * @param {Buffer} bytes
 * @param {Random} random
 * @returns {[number, number]}
 */
function rangeIn(bytes, random) {
  const start = placeIn(bytes, random);
  return [start, Math.min(bytes.length, start + 1 + Math.floor(random() ** 3 * bytes.length))];
}

/** @type {((bytes: Buffer, random: Random, pick: Pick) => Buffer)[]} */
const DAMAGES = [
  function flipBit(bytes, random) {
    const at = placeIn(bytes, random);
    if (bytes.length > 0) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << Math.floor(random() * 8)), at);
    return bytes;
  },
  function setByte(bytes, random) {
    if (bytes.length > 0) bytes[placeIn(bytes, random)] = Math.floor(random() * 256);
    return bytes;
  },
  function setShort(bytes, random, pick) {
    const at = placeIn(bytes, random);
    if (at + 2 <= bytes.length)
      bytes[random() < 0.5 ? "writeUInt16LE" : "writeUInt16BE"](pick(INTERESTING) % 2 ** 16, at);
    return bytes;
  },
  function setLong(bytes, random, pick) {
    const at = placeIn(bytes, random);
    if (at + 4 <= bytes.length) bytes[random() < 0.5 ? "writeUInt32LE" : "writeUInt32BE"](pick(INTERESTING), at);
    return bytes;
  },
  function addToByte(bytes, random) {
    const at = placeIn(bytes, random);
    if (bytes.length > 0) bytes.writeUInt8((bytes.readUInt8(at) + (random() < 0.5 ? 1 : 255)) % 256, at);
    return bytes;
  },
  function cutOff(bytes, random) {
    return bytes.subarray(0, Math.floor(random() * (bytes.length + 1)));
  },
  function takeOut(bytes, random) {
    const [start, end] = rangeIn(bytes, random);
    return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
  },
  function repeat(bytes, random) {
    const [start, end] = rangeIn(bytes, random);
    const times = 1 + Math.floor(random() ** 4 * 200);
    const part = bytes.subarray(start, Math.min(end, start + 1000));
    return Buffer.concat([bytes.subarray(0, end), ...Array.from({ length: times }, () => part), bytes.subarray(end)]);
  },
  function fill(bytes, random, pick) {
    const [start, end] = rangeIn(bytes, random);
    return bytes.fill(pick([0, 0xff, 0x55, 0xaa]), start, end);
  },
  function scramble(bytes, random) {
    const [start, end] = rangeIn(bytes, random);
    for (let at = start; at < Math.min(end, start + 64); at++) bytes[at] = Math.floor(random() * 256);
    return bytes;
  },
  function move(bytes, random) {
    const [start, end] = rangeIn(bytes, random);
    bytes.copy(bytes, placeIn(bytes, random), start, end);
    return bytes;
  },
  function splice(bytes, random, pick) {
    const other = pick(pictures()).bytes;
    const at = placeIn(bytes, random);
    return Buffer.concat([bytes.subarray(0, at), other.subarray(Math.min(at, other.length))]);
  },
];

/**
 * mulberry32: numbers from 0 to 1 by a seed.
 * @param {number} start
 * @returns {Random}
 */
function randomNumbers(start) {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
